//! The machine, and what was built on it.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// The machine that the report is made on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Machine {
    /// Names and values, in order.
    pub(super) facts: Vec<(String, String)>,
}

/// What was built, with versions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Package {
    /// Name.
    pub(super) name: String,
    /// Version.
    pub(super) version: String,
    /// Its features, if it is a peer of the benchmarks.
    pub(super) features: String,
}

impl Machine {
    /// What the system says of itself; what it does not say is left out.
    pub(super) fn look() -> Self {
        let mut facts = Vec::new();
        let mut say = |name: &str, value: Option<String>| facts.extend(value.map(|value| (name.to_owned(), value)));
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let value = cpuinfo.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name));
            value.map(|(_, value)| value.trim().to_owned())
        };
        say("processor", field("model name").or_else(|| Some(std::env::consts::ARCH.to_owned())));
        let model = field("cpu family").zip(field("model")).zip(field("stepping"));
        say(
            "family, model, stepping",
            model.map(|((family, model), stepping)| format!("{family}, {model}, {stepping}")),
        );
        say("cores", std::thread::available_parallelism().ok().map(|cores| cores.to_string()));
        let clock = field("cpu MHz").and_then(|clock| clock.parse::<f64>().ok());
        say("clock, as the kernel says", clock.map(|clock| format!("{clock:.0} MHz")));
        say("hypervisor", cpuinfo.contains(" hypervisor").then(|| "yes".to_owned()));
        say("caches of a core", caches(Path::new("/sys/devices/system/cpu/cpu0/cache")));
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
        let memory = memory.and_then(|kib| kib.trim().parse::<f64>().ok());
        say("memory", memory.map(|kib| format!("{:.1} GiB", kib / f64::from(1 << 20))));
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        let release = release.map(|release| format!("{} {}", std::env::consts::OS, release.trim()));
        say("system", release.or_else(|| Some(std::env::consts::OS.to_owned())));
        Self { facts }
    }
}

/// Level, kind and size of each cache, and how many cores share it.
fn caches(dir: &Path) -> Option<String> {
    let mut out = Vec::new();
    for index in 0..8 {
        let read = |name: &str| {
            let text = fs::read_to_string(dir.join(format!("index{index}")).join(name)).ok()?;
            Some(text.trim().to_owned())
        };
        let Some(((level, kind), size)) = read("level").zip(read("type")).zip(read("size")) else { break };
        let kind = match kind.as_str() {
            "Data" => "d",
            "Instruction" => "i",
            _ => "",
        };
        let shared = read("shared_cpu_list").filter(|list| list.contains([',', '-']));
        let shared = shared.map(|list| format!(" (cores {list})")).unwrap_or_default();
        out.push(format!("L{level}{kind} {}{shared}", size.replace('K', " KiB").replace('M', " MiB")));
    }
    (!out.is_empty()).then(|| out.join(", "))
}

/// The compiler, this crate, and the peers of the benchmarks with what they stand on, as this program was built with them.
pub(super) fn packages() -> Vec<Package> {
    let table = |text: &str| text.parse::<toml::Table>().unwrap_or_default();
    let lock = table(include_str!("../../../Cargo.lock"));
    let benches = table(include_str!("../../../benches/Cargo.toml"));
    let locked = |name: &str| {
        let packages = lock.get("package")?.as_array()?;
        let package =
            packages.iter().find(|package| package.get("name").and_then(toml::Value::as_str) == Some(name))?;
        Some(package.get("version")?.as_str()?.to_owned())
    };
    let features = |name: &str| {
        let peer = benches.get("dev-dependencies").and_then(|peers| peers.get(name));
        let Some(peer) = peer.and_then(toml::Value::as_table) else { return String::new() };
        let mut features: Vec<&str> = peer
            .get("features")
            .and_then(toml::Value::as_array)
            .map_or_else(Vec::new, |features| features.iter().filter_map(toml::Value::as_str).collect());
        if peer.get("default-features").and_then(toml::Value::as_bool) != Some(false) {
            features.insert(0, "default");
        }
        features.join(", ")
    };
    let mut out = vec![
        Package { name: "rustc".to_owned(), version: env!("FC_RUSTC").to_owned(), features: String::new() },
        Package {
            name: "feature-contamination".to_owned(),
            version: format!("{}, commit {}", env!("CARGO_PKG_VERSION"), env!("FC_COMMIT")),
            features: String::new(),
        },
    ];
    for name in ["matrixmultiply", "faer", "private-gemm-x86", "nano-gemm", "gemm", "rand_xoshiro", "criterion"] {
        if let Some(version) = locked(name) {
            out.push(Package { name: name.to_owned(), version, features: features(name) });
        }
    }
    out
}

/// A time as `2026-01-31 12:34 UTC`.
pub(super) fn date(seconds: u64) -> String {
    let (days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    // Days of 400 years from 1 March of year 0 on, when leap days are last (H. Hinnant, "chrono-compatible low-level date
    // algorithms").
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59 UTC"),
            (1_709_251_200, "2024-03-01 00:00 UTC"),
            (1_767_225_599, "2025-12-31 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }

    #[test]
    fn peers_are_named_with_version_and_features() {
        let packages = packages();
        let find = |name: &str| packages.iter().find(|package| package.name == name).unwrap();
        assert!(find("gemm").features.contains("x86-v4"));
        assert!(find("faer").features.contains("linalg") && !find("faer").features.contains("default"));
        assert!(find("rustc").version.starts_with("rustc 1."));
        assert!(packages.iter().all(|package| package.version.contains(|c: char| c.is_ascii_digit())));
    }
}
