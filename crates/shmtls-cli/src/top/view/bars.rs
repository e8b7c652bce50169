//! A chart of columns in eighths of a character, each a part of a whole: hits of lookups.

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::Color;

use super::theme::Theme;

const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// A column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bar {
    pub(super) whole: f64,
    pub(super) part: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Bars {
    pub(super) theme: Theme,
    pub(super) part: Color,
    /// Of the rest, on top.
    pub(super) rest: Color,
}

/// The glyph of a share, from nothing to all.
pub(super) fn eighth(share: f64) -> &'static str {
    EIGHTHS[(share * 8.0).round().clamp(0.0, 8.0) as usize]
}

impl Bars {
    /// The last ones of `bars`, the newest at the right edge; the highest that is seen fills it.
    pub(super) fn draw(&self, buffer: &mut Buffer, area: Rect, bars: impl Iterator<Item = Bar>) {
        let mut bars: Vec<_> = bars.collect();
        bars.drain(..bars.len().saturating_sub(area.width.into()));
        let scale = f64::from(area.height) * 8.0 / highest(&bars).max(f64::MIN_POSITIVE);
        let left = area.right() - bars.len() as u16;
        for (x, bar) in (left..).zip(&bars) {
            // Whatever there is can be seen.
            let whole = ((bar.whole * scale).round() as u32).max(u32::from(bar.whole > 0.0));
            let part = ((bar.part * scale).round() as u32).min(whole);
            for (y, below) in (area.top()..area.bottom()).rev().zip((0..).step_by(8)) {
                let filled = |height: u32| height.saturating_sub(below).min(8) as usize;
                self.cell(&mut buffer[(x, y)], filled(whole), filled(part));
            }
        }
    }

    /// Eighths of the whole and of the part. One cell has two colours, so a part that ends in the
    /// cell where the whole ends has it all.
    fn cell(&self, cell: &mut Cell, whole: usize, part: usize) {
        if !self.theme.has_colors() {
            let is_rest = part == 0 && whole == 8;
            cell.set_symbol(if is_rest { "░" } else { EIGHTHS[whole] });
        } else if part == 0 {
            cell.set_symbol(EIGHTHS[whole]).set_fg(self.rest);
        } else if part < 8 && whole == 8 {
            cell.set_symbol(EIGHTHS[part]).set_fg(self.part).set_bg(self.rest);
        } else {
            cell.set_symbol(EIGHTHS[whole]).set_fg(self.part);
        }
    }
}

pub(super) fn highest(bars: &[Bar]) -> f64 {
    bars.iter().map(|bar| bar.whole).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(has_colors: bool, bars: &[(f64, f64)]) -> Buffer {
        let area = Rect::new(0, 0, 4, 2);
        let mut buffer = Buffer::empty(area);
        let style = Bars { theme: Theme::new(has_colors), part: Color::Green, rest: Color::Red };
        style.draw(
            &mut buffer,
            area,
            bars.iter().map(|(whole, part)| Bar { whole: *whole, part: *part }),
        );
        buffer
    }

    fn text(buffer: &Buffer) -> String {
        buffer.content.iter().map(Cell::symbol).collect()
    }

    #[test]
    fn the_newest_stands_right_and_the_highest_fills_the_chart() {
        assert_eq!(text(&drawn(true, &[(8.0, 8.0), (16.0, 16.0)])), "   █  ██");
        assert_eq!(text(&drawn(true, &[(99.0, 0.0); 7].map(|it| it))), "████████");
        assert_eq!(text(&drawn(true, &[(0.0, 0.0), (0.001, 0.0), (16.0, 4.0)])), "   █  ▁▄");
        assert_eq!(text(&drawn(true, &[])), "        ");
    }

    #[test]
    fn the_part_is_told_from_the_rest_with_colours_and_without() {
        let buffer = drawn(true, &[(16.0, 12.0)]);
        let cell = &buffer[(3, 0)];
        assert_eq!((cell.symbol(), cell.fg, cell.bg), ("▄", Color::Green, Color::Red));
        assert_eq!(buffer[(3, 1)].fg, Color::Green);
        assert_eq!(text(&drawn(false, &[(16.0, 8.0)])), "   ░   █");
        assert!(drawn(false, &[(16.0, 8.0)]).content.iter().all(|cell| cell.fg == Color::Reset));
    }
}
