//! Text on pages and in figures: numbers, escapes, sub- and superscripts, and widths guessed without font metrics.

/// How a piece of a text is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// On the line.
    Normal,
    /// Below it.
    Sub,
    /// Above it.
    Super,
}

/// Splits `p_own`, `Σ_bg μ`, `10^-5`, `v_{k,j}`, `d^(-1/2)` into pieces. A name with an underscore whose first word is
/// longer than two letters, such as `ood_equals_id`, stays as it is.
pub(super) fn pieces(text: &str) -> Vec<(Script, String)> {
    let chars: Vec<char> = text.chars().collect();
    let mut out: Vec<(Script, String)> = Vec::new();
    let mut line = String::new();
    let mut at = 0;
    while at < chars.len() {
        if let Some((script, inner, next)) = script_at(&chars, at) {
            if !line.is_empty() {
                out.push((Script::Normal, std::mem::take(&mut line)));
            }
            out.push((script, inner));
            at = next;
        } else {
            line.push(chars[at]);
            at += 1;
        }
    }
    if !line.is_empty() {
        out.push((Script::Normal, line));
    }
    out
}

/// The sub- or superscript that starts at `at`: its kind, its text, and where the line goes on.
fn script_at(chars: &[char], at: usize) -> Option<(Script, String, usize)> {
    let script = match chars[at] {
        '_' => Script::Sub,
        '^' => Script::Super,
        _ => return None,
    };
    if at == 0 || chars[at - 1].is_whitespace() {
        return None;
    }
    let closing = match chars.get(at + 1)? {
        '{' => Some('}'),
        '(' if script == Script::Super => Some(')'),
        _ => None,
    };
    if let Some(closing) = closing {
        let end = at + 2 + chars[at + 2..].iter().position(|&c| c == closing)?;
        return Some((script, chars[at + 2..end].iter().collect::<String>().replace('-', "−"), end + 1));
    }
    let word = |c: char| c.is_alphanumeric() || (script == Script::Super && matches!(c, '.' | '*' | '′'));
    let sign = usize::from(script == Script::Super && matches!(chars[at + 1], '-' | '−' | '+'));
    let mut end = at + 1 + sign;
    while end < chars.len() && word(chars[end]) {
        end += 1;
    }
    while end > at + 1 && chars[end - 1] == '.' {
        end -= 1;
    }
    if end == at + 1 + sign {
        return None;
    }
    if script == Script::Sub {
        let base = chars[..at].iter().rev().take_while(|c| c.is_alphanumeric() || **c == '_').count();
        if base > 2 || chars.get(end) == Some(&'_') {
            return None;
        }
    }
    Some((script, chars[at + 1..end].iter().collect::<String>().replace('-', "−"), end))
}

/// Escapes a text for XML and HTML, attributes included. What XML cannot hold becomes U+FFFD.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(printable(c)),
        }
    }
    out
}

/// `c`, or a replacement if XML cannot hold it.
pub(super) fn printable(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A text as HTML: escaped, with `<sub>` and `<sup>`.
pub(crate) fn html(text: &str) -> String {
    pieces(text)
        .iter()
        .map(|(script, piece)| match script {
            Script::Normal => escape(piece),
            Script::Sub => format!("<sub>{}</sub>", escape(piece)),
            Script::Super => format!("<sup>{}</sup>", escape(piece)),
        })
        .collect()
}

/// Relative size of sub- and superscripts.
pub(super) const SCRIPT_SIZE: f64 = 0.74;

/// Width of a text in units of the font size, guessed for the wider of the usual sans-serif fonts.
pub(super) fn width(text: &str) -> f64 {
    let char_width = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '!' | '\'' => 0.34,
        ' ' | '\u{202f}' => 0.33,
        'f' | 'r' | 't' | 'I' | '(' | ')' | '[' | ']' | '-' | '/' => 0.42,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '→' | '…' | '—' => 1.0,
        'a'..='z' | '0'..='9' | 'α'..='ω' => 0.635,
        'A'..='Z' | 'Α'..='Ω' => 0.78,
        c if (c as u32) > 0x2e80 => 1.05,
        _ => 0.84,
    };
    pieces(text)
        .iter()
        .map(|(script, piece)| {
            let size = if *script == Script::Normal { 1.0 } else { SCRIPT_SIZE };
            size * piece.chars().map(char_width).sum::<f64>()
        })
        .sum()
}

/// Breaks a text into lines no wider than `room` (in units of the font size), between words where there are any.
pub(super) fn wrap(text: &str, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let joined = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&joined) <= room {
            line = joined;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            line.push(c);
            if width(&line) > room && line.chars().count() > 1 {
                line.pop();
                lines.push(std::mem::replace(&mut line, c.to_string()));
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// A number to read: `digits` significant ones, `1.2×10⁻⁵` where it is very small or large, `∞` for the infinities;
/// whole numbers below a million in full.
pub(crate) fn number(x: f64, digits: usize) -> String {
    if x.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if x < 0.0 { "−" } else { "" };
    let size = x.abs();
    if size.is_infinite() {
        return format!("{sign}∞");
    }
    if size < 1e6 && size == size.trunc() {
        return format!("{sign}{}", grouped(&format!("{size:.0}")));
    }
    let scientific = format!("{size:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
        return format!("{sign}{}", grouped(trimmed(&format!("{size:.decimals$}"))));
    }
    let power: String = exponent.to_string().chars().map(superscript).collect();
    match trimmed(mantissa) {
        "1" => format!("{sign}10{power}"),
        mantissa => format!("{sign}{mantissa}×10{power}"),
    }
}

/// Without the zeros behind the decimal point.
fn trimmed(decimal: &str) -> &str {
    if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal }
}

/// Digits in groups of three from five digits on, with narrow no-break spaces.
pub(crate) fn grouped(decimal: &str) -> String {
    let whole = decimal.find('.').unwrap_or(decimal.len());
    if whole < 5 {
        return decimal.to_owned();
    }
    let mut out = String::new();
    for (at, c) in decimal.chars().enumerate() {
        if at > 0 && at < whole && (whole - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

fn superscript(c: char) -> char {
    match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        c => c.to_digit(10).and_then(|digit| char::from_u32(0x2070 + digit)).unwrap_or(c),
    }
}

/// A time span to read.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round();
    if whole.is_nan() || whole < 60.0 {
        format!("{} s", number(seconds, 3))
    } else if whole < 3600.0 {
        format!("{} min {} s", (whole / 60.0).floor(), whole % 60.0)
    } else {
        format!("{} h {} min", number((whole / 3600.0).floor(), 4), (whole % 3600.0 / 60.0).floor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (x, text) in [
            (0.0, "0"),
            (0.028_912_3, "0.02891"),
            (-0.5, "−0.5"),
            (0.999_96, "1"),
            (1.2e-5, "1.2×10⁻⁵"),
            (1e-12, "10⁻¹²"),
            (4096.0, "4096"),
            (65_536.0, "65\u{202f}536"),
            (123_456.7, "123\u{202f}457"),
            (6.02e23, "6.02×10²³"),
            (f64::INFINITY, "∞"),
            (f64::NEG_INFINITY, "−∞"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(x, 4), text);
        }
        assert_eq!(duration(42.34), "42.3 s");
        assert_eq!(duration(725.0), "12 min 5 s");
        assert_eq!(duration(3780.0), "1 h 3 min");
    }

    #[test]
    fn scripts_are_set_and_names_left_alone() {
        assert_eq!(html("p_own ≥ 1 − 10^-3"), "p<sub>own</sub> ≥ 1 − 10<sup>−3</sup>");
        assert_eq!(html("v_{k,j} d^(-1/2). d^2."), "v<sub>k,j</sub> d<sup>−1/2</sup>. d<sup>2</sup>.");
        for plain in ["ood_equals_id", "a_b_c", "x _y", "_", "^", "a^", "a_", "a_{b", "2 ^ 3"] {
            assert_eq!(html(plain), plain);
        }
    }

    #[test]
    fn hostile_text_is_escaped() {
        assert_eq!(escape("<a b='c'>&\"\0"), "&lt;a b=&#39;c&#39;&gt;&amp;&quot;\u{fffd}");
        assert_eq!(html("x_{<b>}"), "x<sub>&lt;b&gt;</sub>");
    }

    #[test]
    fn wrapped_lines_fit_and_lose_nothing() {
        let text = "the background half of what neurons learn, WWWWWWWWWWWWWWWWWWWWWWWWW too";
        let lines = wrap(text, 12.0);
        assert!(lines.iter().all(|line| width(line) <= 12.0), "{lines:?}");
        assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        assert!(wrap("", 10.0).is_empty());
        assert_eq!(wrap("ab", 0.1), ["a", "b"]);
    }
}
