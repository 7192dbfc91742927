//! Lines and areas cut to the unit square.

/// A place; within a panel `[0, 1]²`.
pub(super) type Place = (f64, f64);

/// The pieces of a line within the unit square. `None` breaks the line.
pub(super) fn clip_line(points: &[Option<Place>]) -> Vec<Vec<Place>> {
    let mut pieces: Vec<Vec<Place>> = Vec::new();
    let mut open = false;
    for pair in points.windows(2) {
        let (Some(a), Some(b)) = (pair[0], pair[1]) else {
            open = false;
            continue;
        };
        let Some((from, to)) = clip_segment(a, b) else {
            open = false;
            continue;
        };
        match pieces.last_mut() {
            Some(piece) if open => piece.push(to),
            _ => pieces.push(vec![from, to]),
        }
        open = to == b;
    }
    pieces
}

/// The part of a segment within the unit square (Liang–Barsky).
fn clip_segment(a: Place, b: Place) -> Option<(Place, Place)> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut enter, mut leave) = (0.0f64, 1.0f64);
    for (slope, room) in [(-dx, a.0), (dx, 1.0 - a.0), (-dy, a.1), (dy, 1.0 - a.1)] {
        if slope == 0.0 && room < 0.0 {
            return None;
        } else if slope < 0.0 {
            enter = enter.max(room / slope);
        } else if slope > 0.0 {
            leave = leave.min(room / slope);
        }
    }
    let at = |t: f64| if t == 1.0 { b } else { (a.0 + t * dx, a.1 + t * dy) };
    (enter <= leave).then(|| (at(enter), at(leave)))
}

/// The part of a polygon within the unit square (Sutherland–Hodgman); fewer than three corners if there is none.
pub(super) fn clip_area(corners: Vec<Place>) -> Vec<Place> {
    // The four sides, each as the signed distance inwards.
    let sides: [fn(Place) -> f64; 4] = [|p| p.0, |p| 1.0 - p.0, |p| p.1, |p| 1.0 - p.1];
    sides.iter().fold(corners, |corners, inside| {
        let mut kept = Vec::with_capacity(corners.len() + 4);
        for (i, &b) in corners.iter().enumerate() {
            let a = corners[(i + corners.len() - 1) % corners.len()];
            let (from, to) = (inside(a), inside(b));
            if (from < 0.0) != (to < 0.0) {
                let t = from / (from - to);
                kept.push((a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1)));
            }
            if to >= 0.0 {
                kept.push(b);
            }
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_broken() {
        let inside = [Some((0.0, 0.0)), Some((0.5, 1.0)), Some((1.0, 0.0))];
        assert_eq!(clip_line(&inside), [vec![(0.0, 0.0), (0.5, 1.0), (1.0, 0.0)]]);
        let out_and_in = [Some((0.0, 0.5)), Some((0.5, 1.5)), Some((1.0, 0.5))];
        assert_eq!(clip_line(&out_and_in), [vec![(0.0, 0.5), (0.25, 1.0)], vec![(0.75, 1.0), (1.0, 0.5)]]);
        let broken = [Some((0.0, 0.0)), Some((0.1, 0.1)), None, Some((0.3, 0.3)), Some((0.4, 0.4))];
        assert_eq!(clip_line(&broken).len(), 2);
        assert!(clip_line(&[Some((-1.0, 2.0)), Some((2.0, 2.0))]).is_empty());
        assert!(clip_line(&[Some((0.5, 0.5))]).is_empty());
    }

    #[test]
    fn areas_are_cut() {
        let square = clip_area(vec![(-1.0, -1.0), (2.0, -1.0), (2.0, 0.5), (-1.0, 0.5)]);
        assert_eq!(square.len(), 4);
        assert!(square.iter().all(|p| [0.0, 1.0].contains(&p.0) && [0.0, 0.5].contains(&p.1)), "{square:?}");
        assert!(clip_area(vec![(2.0, 2.0), (3.0, 2.0), (3.0, 3.0)]).is_empty());
        assert!(clip_area(Vec::new()).is_empty());
    }
}
