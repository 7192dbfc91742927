//! The derivations as a page beside the report: `docs/theory.md`, its formulas set in MathML.

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use pulldown_latex::config::DisplayMode;
use pulldown_latex::{RenderConfig, Storage, push_mathml};

use super::text::escape;
use super::{PAGE, THEORY};

/// The derivations, in Markdown with TeX formulas.
const SOURCE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/theory.md"));

/// The page. Needs nothing but itself.
pub(super) fn page() -> String {
    render(SOURCE)
}

/// Where a claim's source is derived: `theory.html`, at the section of that name if there is one.
pub(super) fn place_of(source: &str) -> String {
    let anchor = match source.split_once(": ") {
        Some(("Paper", _)) => "the-theorems".to_owned(),
        Some((_, name)) => slug(name),
        None => String::new(),
    };
    let is_heading = |line: &str| line.strip_prefix("## ").is_some_and(|words| slug(words) == anchor);
    if SOURCE.lines().any(is_heading) { format!("{THEORY}#{anchor}") } else { THEORY.to_owned() }
}

fn render(markdown: &str) -> String {
    let options = Options::ENABLE_MATH | Options::ENABLE_TABLES;
    let mut events: Vec<Event> = Vec::new();
    let mut contents = String::new();
    // Where the heading began that is being read, and its words so far.
    let mut heading: Option<(usize, HeadingLevel, String)> = None;
    for event in Parser::new_ext(markdown, options) {
        if let (Some((_, _, words)), Event::Text(text) | Event::Code(text)) = (&mut heading, &event) {
            words.push_str(text);
        }
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                heading = Some((events.len(), level, String::new()));
                events.push(event);
            }
            Event::End(TagEnd::Heading(_)) => {
                events.push(event);
                if let Some((at, level, words)) = heading.take() {
                    let id = slug(&words);
                    if level == HeadingLevel::H2 {
                        contents.push_str(&format!("<li><a href=\"#{id}\">{}</a></li>\n", escape(&words)));
                    }
                    let id = Some(CowStr::from(id));
                    events[at] = Event::Start(Tag::Heading { level, id, classes: vec![], attrs: vec![] });
                }
            }
            Event::InlineMath(tex) => events.push(Event::InlineHtml(math(&tex, DisplayMode::Inline).into())),
            Event::DisplayMath(tex) => {
                let block = format!("<span class=\"formula\" tabindex=\"0\">{}</span>", math(&tex, DisplayMode::Block));
                events.push(Event::InlineHtml(block.into()));
            }
            other => events.push(other),
        }
    }
    let mut body = String::new();
    pulldown_cmark::html::push_html(&mut body, events.into_iter());
    // Tables scroll by themselves on a narrow screen.
    let body =
        body.replace("<table>", "<div class=\"scroll\" tabindex=\"0\"><table>").replace("</table>", "</table></div>");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Feature contamination: the theory behind the checks</title>\n<style>\n{css}</style>\n</head>\n\
         <body class=\"prose\">\n<p><a href=\"{PAGE}\">The report</a></p>\n\
         <nav aria-label=\"Contents\">\n<ul>\n{contents}</ul>\n</nav>\n<main>\n{body}</main>\n</body>\n</html>\n",
        css = include_str!("page.css"),
    )
}

/// The anchor of a heading: its words in lower case, joined by hyphens.
fn slug(words: &str) -> String {
    let words: String = words.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    words.split_whitespace().collect::<Vec<_>>().join("-")
}

/// A formula in MathML; one that does not parse is shown as it stands, with an error's colour.
fn math(tex: &str, display_mode: DisplayMode) -> String {
    let storage = Storage::new();
    let mut out = String::new();
    let config = RenderConfig { display_mode, ..RenderConfig::default() };
    // Writing to a string does not fail; errors in the formula become <merror>.
    match push_mathml(&mut out, pulldown_latex::Parser::new(tex, &storage), config) {
        // A space that the renderer forgets after \big.
        Ok(()) => out.replace("\"minsize=", "\" minsize="),
        Err(_) => format!("<code class=\"violated\">{}</code>", escape(tex)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_formula_of_the_theory_is_set() {
        for event in Parser::new_ext(SOURCE, Options::ENABLE_MATH | Options::ENABLE_TABLES) {
            if let Event::InlineMath(tex) | Event::DisplayMath(tex) = event {
                let set = math(&tex, DisplayMode::Block);
                assert!(!set.contains("<merror") && !set.contains("<code"), "{tex}\n{set}");
            }
        }
        let page = page();
        let formulas = page.matches("<math").count();
        assert!(formulas > 50, "{formulas} formulas");
        // A dollar sign left over is a formula that was not recognised.
        let text = page.rsplit("</style>").next().unwrap();
        assert!(!text.contains('$'), "{:?}", text.find('$').map(|at| &text[at.saturating_sub(60)..at]));
    }

    #[test]
    fn contents_lead_to_headings_and_nothing_leads_outside() {
        let page = page();
        let targets: Vec<&str> = page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(targets.len() > 5);
        for target in targets {
            assert_eq!(page.matches(&format!("id=\"{target}\"")).count(), 1, "{target}");
        }
        assert!(!page.contains("http://www.w3.org/1999") && !page.contains("src="));
    }

    #[test]
    fn every_claim_finds_its_derivation() {
        for claim in crate::statement::Statement::all() {
            let place = place_of(claim.source());
            let (_, anchor) = place.split_once('#').unwrap_or_else(|| panic!("{} has no section", claim.source()));
            assert!(page().contains(&format!("id=\"{anchor}\"")), "{place}");
        }
        assert_eq!(place_of("Derived: something else"), THEORY);
    }

    #[test]
    fn a_formula_that_does_not_parse_is_shown_and_not_lost() {
        let page = render("# A\n\nWrong: $\\frac{1}$ and right: $x_1$.\n");
        assert!(page.contains("<merror") || page.contains("class=\"violated\""));
        assert!(page.contains("<msub>"));
    }
}
