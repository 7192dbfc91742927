//! A disk without space, and folders that cannot be written.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Folder, outcome};
use crate::subject::{
    RUN, Reference, SweepReference, command, config, ids, refused, safe_step, safe_steps, sweep_config, tool, verify,
    with_run, with_sweep,
};
use crate::suite::{Job, Tries};

pub fn jobs() -> Vec<Job> {
    vec![
        Job::new("full disk (tmpfs): run", full_run),
        Job::new("full disk (tmpfs): sweep", full_sweep),
        Job::new("limit of a file's size: run", limited),
        Job::new("read-only file system: run and sweep", read_only),
        Job::new("folder without permission: run and sweep", forbidden),
        Job::new("a file where a folder should be: run and sweep", occupied),
    ]
}

/// A file system at a path until dropped.
struct Mount(PathBuf);

impl Mount {
    /// A small one in memory.
    fn memory(path: PathBuf, kib: usize) -> Option<Self> {
        std::fs::create_dir_all(&path).ok()?;
        mount(&["-t", "tmpfs", "-o", &format!("size={kib}k"), "none"], &path).then_some(Self(path))
    }

    /// The folder itself, that nobody may write.
    fn read_only(path: PathBuf) -> Option<Self> {
        let itself = path.to_str()?.to_owned();
        let mounted = mount(&["--bind", &itself], &path).then(|| Self(path.clone()))?;
        mount(&["-o", "remount,ro,bind"], &path).then_some(mounted)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

fn mount(args: &[&str], path: &Path) -> bool {
    Command::new("mount").args(args).arg(path).output().is_ok_and(|output| output.status.success())
}

fn can_mount(tries: &mut Tries) -> bool {
    let folder = Folder::new();
    let works = Mount::memory(folder.path("m"), 64).is_some();
    if !works {
        tries.skip("needs the right to mount");
    }
    works
}

/// Takes space away until so many KiB are free.
fn fill(path: &Path, free: usize, size: usize) {
    std::fs::write(path.join("ballast"), vec![1; (size - free) * 1024]).unwrap();
}

/// Every amount of free space, a page more each time, until the run has enough.
fn full_run(tries: &mut Tries) {
    if !can_mount(tries) {
        return;
    }
    const SIZE: usize = 512;
    let reference = Reference::of(config("momentum", 20));
    let args = [&RUN[..], &["--checkpoint-every", "0"]].concat();
    let step = tries.count(16, 4);
    let mut free = 0;
    loop {
        let folder = with_run(&reference.text);
        let mounted = Mount::memory(folder.path("disk"), SIZE).unwrap();
        std::os::unix::fs::symlink("disk/out", folder.path("out")).unwrap();
        std::fs::create_dir(folder.path("disk/out")).unwrap();
        fill(&folder.path("disk"), free, SIZE);
        let outcome = verify(&folder, &args);
        if outcome.status == Some(0) {
            break;
        }
        tries.attempt(
            || format!("{free} KiB free"),
            || {
                refused(&outcome, &["No space left on device"])?;
                // Again, without space: nothing is lost.
                let safe = safe_step(&folder.path("out"));
                refused(&verify(&folder, &args), &["No space left on device"])?;
                if safe_step(&folder.path("out")) < safe {
                    return Err("what was safe is lost".to_owned());
                }
                std::fs::remove_file(folder.path("disk/ballast")).unwrap();
                reference.finish(&folder).map(|()| 2)
            },
        );
        drop(mounted);
        free += step;
        assert!(free < SIZE, "it never has enough");
    }
}

fn full_sweep(tries: &mut Tries) {
    if !can_mount(tries) {
        return;
    }
    const SIZE: usize = 512;
    let reference = SweepReference::of(sweep_config(30));
    let args = ["sweep", "run", "s", "--threads", "2", "--checkpoint-every", "0"];
    let step = tries.count(16, 4);
    let mut free = 0;
    loop {
        let folder = with_sweep(&reference.text);
        let mounted = Mount::memory(folder.path("disk"), SIZE).unwrap();
        let moved = Command::new("mv").arg(folder.path("s")).arg(folder.path("disk/s")).status().unwrap();
        assert!(moved.success());
        std::os::unix::fs::symlink("disk/s", folder.path("s")).unwrap();
        let used =
            usize::try_from(std::fs::metadata(folder.path("s/manifest.json")).unwrap().len()).unwrap() / 1024 + 8;
        fill(&folder.path("disk"), free, SIZE - used);
        let outcome = verify(&folder, &args);
        if outcome.status == Some(0) {
            break;
        }
        tries.attempt(
            || format!("{free} KiB free"),
            || {
                refused(&outcome, &["No space left on device"])?;
                let safe = safe_steps(&folder);
                let again = verify(&folder, &args);
                if again.status != Some(0) {
                    refused(&again, &["No space left on device"])?;
                }
                let now = safe_steps(&folder);
                if safe.iter().any(|(id, step)| now[id] < *step) {
                    return Err("what was safe is lost".to_owned());
                }
                std::fs::remove_file(folder.path("disk/ballast")).unwrap();
                reference.finish(&folder).map(|()| 1)
            },
        );
        drop(mounted);
        free += step;
        assert!(free < SIZE, "it never has enough");
    }
}

/// A quota of the shell: files of so many KiB at most, an error beyond and no signal.
fn limited(tries: &mut Tries) {
    let reference = Reference::of(config("momentum", 40));
    for blocks in 0..tries.count(2, 6) {
        let folder = with_run(&reference.text);
        tries.attempt(
            || format!("{blocks} blocks"),
            || {
                let mut shell = Command::new("sh");
                let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
                shell.args(["-c", &script, env!("CARGO_BIN_EXE_verify")]).args(RUN).args(["--checkpoint-every", "0"]);
                let outcome = outcome({
                    shell.current_dir(folder.path("")).env_remove("FC_ISA");
                    shell
                });
                if outcome.status != Some(0) {
                    refused(&outcome, &["File too large"])?;
                }
                reference.finish(&folder).map(|()| u64::from(outcome.status != Some(0)))
            },
        );
    }
}

/// The runs' folder read-only, at the start and with a checkpoint in it.
fn read_only(tries: &mut Tries) {
    if !can_mount(tries) {
        return;
    }
    unwritable(tries, "Read-only file system", |path| {
        let mounted = Mount::read_only(path.to_owned()).unwrap();
        (Box::new(|folder: &Folder, args: &[&str]| command(folder, args)), Box::new(move || drop(mounted)))
    });
}

type Command_<'a> = Box<dyn Fn(&Folder, &[&str]) -> Command + 'a>;
type Undo<'a> = Box<dyn FnOnce() + 'a>;

fn unwritable(tries: &mut Tries, words: &str, close: impl Fn(&Path) -> (Command_<'static>, Undo<'static>)) {
    let reference = Reference::of(config("fused SGD", 6000));
    for begun in [false, true] {
        tries.attempt(
            || format!("run, begun: {begun}"),
            || {
                let folder = with_run(&reference.text);
                std::fs::create_dir(folder.path("out")).unwrap();
                if begun {
                    crate::checkpoints::leave_two(&folder, &reference, 600, 1200);
                }
                let before = folder.tree("out");
                let (command, open) = close(&folder.path("out"));
                refused(&outcome(command(&folder, &RUN)), &[words, "out"])?;
                open();
                if folder.tree("out") != before {
                    return Err("the folder was changed".to_owned());
                }
                reference.finish(&folder).map(|()| 1)
            },
        );
    }
    let reference = SweepReference::of(sweep_config(3));
    for place in ["s", "s/runs", "a run's folder"] {
        tries.attempt(
            || format!("sweep, {place}"),
            || {
                let folder = with_sweep(&reference.text);
                let path = match place {
                    "a run's folder" => folder.path(&format!("s/runs/{}", ids(&folder)[2])),
                    place => folder.path(place),
                };
                std::fs::create_dir_all(&path).unwrap();
                let (command, open) = close(&path);
                refused(&outcome(command(&folder, &["sweep", "run", "s"])), &[words, "s/runs"])?;
                open();
                reference.finish(&folder).map(|()| 1)
            },
        );
    }
}

/// As another user, who may read and not write.
fn forbidden(tries: &mut Tries) {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let nobody = |folder: &Folder, args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_verify")]).args(args);
        command.current_dir(folder.path("")).env_remove("FC_ISA");
        command
    };
    let may = tool("setpriv").is_some()
        && nobody(&folder, &["--version"]).output().is_ok_and(|output| output.status.success());
    if !may {
        tries.skip("needs root, setpriv, and a target folder that others may read");
        return;
    }
    unwritable(tries, "Permission denied", |path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o555)).unwrap();
        let path = path.to_owned();
        (
            Box::new(nobody),
            Box::new(move || std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap()),
        )
    });
}

fn occupied(tries: &mut Tries) {
    let reference = Reference::of(config("momentum", 4));
    for name in ["out", "out/figures", "out/checkpoint.bin", "out/.series.csv.tmp", "out/lock"] {
        tries.attempt(
            || format!("run, {name}"),
            || {
                let folder = with_run(&reference.text);
                // A file for a folder, and a folder for a file.
                match name {
                    "out" | "out/figures" => folder.write(name, "mine"),
                    _ => std::fs::create_dir_all(folder.path(name)).unwrap(),
                }
                refused(&verify(&folder, &RUN), &["out"])?;
                match name {
                    "out" | "out/figures" => std::fs::remove_file(folder.path(name)).unwrap(),
                    _ => std::fs::remove_dir(folder.path(name)).unwrap(),
                }
                reference.finish(&folder).map(|()| 1)
            },
        );
    }
    let reference = SweepReference::of(sweep_config(3));
    tries.attempt(
        || "sweep, a run's folder".to_owned(),
        || {
            let folder = with_sweep(&reference.text);
            let name = format!("s/runs/{}", ids(&folder)[1]);
            folder.write(&name, "mine");
            refused(&verify(&folder, &["sweep", "run", "s"]), &[&name])?;
            std::fs::remove_file(folder.path(&name)).unwrap();
            reference.finish(&folder).map(|()| 1)
        },
    );
    tries.attempt(
        || "sweep, the runs' folder".to_owned(),
        || {
            let folder = with_sweep(&reference.text);
            std::fs::remove_dir(folder.path("s/runs")).unwrap();
            folder.write("s/runs", "mine");
            refused(&verify(&folder, &["sweep", "run", "s"]), &["s/runs"])?;
            std::fs::remove_file(folder.path("s/runs")).unwrap();
            std::fs::create_dir(folder.path("s/runs")).unwrap();
            reference.finish(&folder).map(|()| 1)
        },
    );
}
