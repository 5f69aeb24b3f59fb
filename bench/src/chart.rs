//! A bar chart of ratios as SVG, written by hand.
//!
//! One bar a row from 0 to the ratio, a whisker from quartile to quartile, a tick for the floor or
//! the target where there is one, and a line at 1 (the peer). Sizes are pixels.

use std::fmt::Write as _;

/// One bar.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    pub(crate) quartiles: Option<(f64, f64)>,
    /// A second value of the same scale, drawn as a tick.
    pub(crate) tick: Option<f64>,
}

const ROW: f64 = 22.0;
const LEFT: f64 = 190.0;
const WIDTH: f64 = 420.0;
const TOP: f64 = 46.0;

/// The chart as text. `better` says which way is good.
pub(crate) fn svg(title: &str, better: &str, bars: &[Bar]) -> String {
    let top_of = |bar: &Bar| bar.quartiles.map_or(bar.value, |(_, high)| high.max(bar.value));
    let largest = bars.iter().map(top_of).fold(1.0, f64::max);
    let x = |value: f64| LEFT + value / (largest * 1.05) * WIDTH;
    let height = TOP + ROW * bars.len() as f64 + 30.0;
    let width = LEFT + WIDTH + 70.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"15\">{}</text>\n\
         <text x=\"10\" y=\"37\" fill=\"#666666\">1 = the peer; {}</text>\n",
        escaped(title),
        escaped(better)
    );
    // Writing to a String cannot fail.
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let middle = y + ROW / 2.0;
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#cc7722\"/>",
            LEFT - 8.0,
            middle + 4.0,
            escaped(&bar.label),
            y + 4.0,
            x(bar.value) - LEFT,
            ROW - 8.0,
        );
        let mut end = x(bar.value);
        if let Some((low, high)) = bar.quartiles {
            end = end.max(x(high));
            let _ = writeln!(
                out,
                "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"#333333\"/>",
                x(low),
                x(high)
            );
        }
        if let Some(tick) = bar.tick {
            let _ = writeln!(
                out,
                "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{2:.1}\" stroke=\"#1f5f99\" stroke-width=\"2\"/>",
                x(tick),
                y + 2.0,
                y + ROW - 2.0
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\">{:.2}</text>",
            end + 5.0,
            middle + 4.0,
            bar.value
        );
    }
    let bottom = TOP + ROW * bars.len() as f64;
    let _ = writeln!(
        out,
        "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{bottom:.1}\" stroke=\"#999999\" stroke-dasharray=\"4 3\"/>\n</svg>",
        x(1.0)
    );
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_is_drawn_and_text_is_escaped() {
        let bar = |label: &str, value| Bar {
            label: label.into(),
            value,
            quartiles: Some((value * 0.9, value * 1.1)),
            tick: Some(0.5),
        };
        let text = svg("a < b", "lower is better", &[bar("GET", 0.7), bar("A & B", 1.3)]);
        assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"));
        assert_eq!(text.matches("fill=\"#cc7722\"").count(), 2);
        assert!(text.contains("a &lt; b") && text.contains("A &amp; B"));
    }
}
