//! A screen as a picture: cells of one width, whatever font there is, on a dark ground.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// Of a cell, in pixels.
const WIDTH: usize = 8;
const HEIGHT: usize = 18;
/// Around the screen.
const MARGIN: usize = 12;
const GROUND: &str = "#16181d";
const TEXT: &str = "#d4d7dd";

pub(super) fn picture(screen: &Buffer) -> String {
    let (columns, rows) = (screen.area.width, screen.area.height);
    let size = |cells: u16, of: usize| usize::from(cells) * of + 2 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-size=\"13\" \
         font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{GROUND}\"/>\n",
        size(columns, WIDTH),
        size(rows, HEIGHT),
    );
    for row in 0..rows {
        let cells: Vec<&Cell> = (0..columns).map(|column| &screen[(column, row)]).collect();
        let mut column = 0;
        for run in cells.chunk_by(|one, other| look(one) == look(other)) {
            draw(&mut svg, (column, row.into()), run);
            column += run.len();
        }
    }
    svg + "</svg>\n"
}

/// What one piece has in common: columns of a chart are drawn, all else is written.
fn look(cell: &Cell) -> (Color, Color, Modifier, Option<usize>) {
    (cell.fg, cell.bg, cell.modifier, eighths(cell))
}

/// Appends cells that look alike.
fn draw(svg: &mut String, (column, row): (usize, usize), run: &[&Cell]) {
    let (x, y) = (MARGIN + column * WIDTH, MARGIN + row * HEIGHT);
    let (width, first) = (run.len() * WIDTH, run[0]);
    let is_reversed = first.modifier.contains(Modifier::REVERSED);
    let (fg, bg) = match is_reversed {
        true => (color(first.bg, GROUND), color(first.fg, TEXT)),
        false => (color(first.fg, TEXT), color(first.bg, GROUND)),
    };
    if bg != GROUND {
        rect(svg, (x, y), (width, HEIGHT), bg);
    }
    if let Some(eighths) = eighths(first) {
        let height = (HEIGHT * eighths).div_ceil(8);
        return rect(svg, (x, y + HEIGHT - height), (width, height), fg);
    }
    let text: String = run.iter().map(|cell| cell.symbol()).collect();
    if !text.trim().is_empty() {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let styles = [
            (Modifier::BOLD, " font-weight=\"bold\""),
            (Modifier::DIM, " opacity=\"0.55\""),
            (Modifier::UNDERLINED, " text-decoration=\"underline\""),
        ];
        let styles = styles.iter().filter(|(style, _)| first.modifier.contains(*style));
        let styles: String = styles.map(|(_, attribute)| *attribute).collect();
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{}\" textLength=\"{width}\" xml:space=\"preserve\" \
             fill=\"{fg}\"{styles}>{text}</text>",
            y + HEIGHT - 5
        );
    }
}

fn rect(svg: &mut String, (x, y): (usize, usize), (width, height): (usize, usize), fill: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\" \
         shape-rendering=\"crispEdges\"/>"
    );
}

/// How high a column of a chart is in this cell.
fn eighths(cell: &Cell) -> Option<usize> {
    let glyph = cell.symbol().chars().next()?;
    ('▁'..='█').contains(&glyph).then(|| glyph as usize - '▁' as usize + 1)
}

fn color(color: Color, default: &'static str) -> &'static str {
    match color {
        Color::Red => "#e06c75",
        Color::LightRed => "#f0883e",
        Color::Green => "#8ac26c",
        Color::Yellow => "#e5c07b",
        Color::Blue => "#5b9bd5",
        Color::Magenta => "#c678dd",
        Color::Cyan => "#56b6c2",
        _ => default,
    }
}
