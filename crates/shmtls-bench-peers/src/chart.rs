//! The report as an SVG: for each mix, what processes can share on the left, what only threads can
//! on the right.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::fault::Fault;
use crate::plan::{Kind, Mix, Peer};
use crate::report::{Report, times};
use crate::summary::Row;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

const WIDTH: u32 = 1100;
const HEAD: u32 = 80;
const BAR: u32 = 22;
const FRAME: u32 = 90;
const FONT: (&str, u32) = ("sans-serif", 15);
const SMALL: (&str, u32) = ("sans-serif", 12);

pub(crate) fn draw(report: &Report) -> Result<String, Fault> {
    let mut svg = String::new();
    draw_into(report, &mut svg).map_err(|error| format!("cannot draw: {error}"))?;
    Ok(svg)
}

fn draw_into(report: &Report, svg: &mut String) -> Drawn {
    let panels: Vec<_> = Mix::ALL
        .into_iter()
        .map(|mix| Kind::ALL.map(|kind| rows(report, mix, kind)))
        .filter(|pair| pair.iter().any(|rows| !rows.is_empty()))
        .collect();
    let most = panels.iter().flatten().map(Vec::len).max().unwrap_or(0) as u32;
    let panel = FRAME + BAR * most;
    let root = SVGBackend::with_string(svg, (WIDTH, HEAD + panel * panels.len() as u32));
    let root = root.into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD);
    let lines = [
        "Stores under the same work; beside a bar: how many times as many operations shmtls does"
            .into(),
        report.machine.text(),
        report.workload.text(report.machine.timer_ns),
    ];
    for (at, line) in lines.into_iter().enumerate() {
        head.draw(&Text::new(line, (20, 10 + 20 * at as i32), FONT))?;
    }
    let areas = body.split_evenly((panels.len().max(1), 2));
    for (area, rows) in areas.iter().zip(panels.iter().flatten()) {
        bars(area, rows)?;
    }
    root.present()?;
    Ok(())
}

fn rows(report: &Report, mix: Mix, kind: Kind) -> Vec<&Row> {
    report.rows.iter().filter(|row| row.mix == mix && row.kind == kind).collect()
}

/// A bar for each row, on a logarithmic scale, with its spread.
fn bars(area: &Area<'_>, rows: &[&Row]) -> Drawn {
    let Some(first) = rows.first() else { return Ok(()) };
    let all = || rows.iter().flat_map(|row| [row.mops.min, row.mops.max]);
    let (least, most) = (all().fold(f64::MAX, f64::min), all().fold(1e-6, f64::max));
    // Whole decades, and room for the ratio behind the longest bar.
    let (least, most) = (decade(least / 1.5, f64::floor), decade(most * 2.0, f64::ceil));
    let last = rows.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(first.mix.title(), FONT)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(150)
        .build_cartesian_2d((least..most).log_scale(), last..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|x| {
            if is_decade(*x) { format!("{}", *x as f32) } else { String::new() }
        })
        .x_desc("million operations a second")
        .draw()?;
    for (at, row) in rows.iter().enumerate() {
        let (top, color) = (at as f64, color(row.store));
        let bar = [(least, top + 0.15), (row.mops.median, top + 0.85)];
        chart.draw_series([Rectangle::new(bar, color.filled())])?;
        let spread = vec![(row.mops.min, top + 0.5), (row.mops.max, top + 0.5)];
        chart.draw_series([PathElement::new(spread, BLACK.stroke_width(1))])?;
        let ratio = row.shmtls_times.filter(|_| row.store != Peer::Shmtls).map(times);
        let place = (row.mops.max * 1.1, top + 0.25);
        chart.draw_series([Text::new(ratio.unwrap_or_default(), place, SMALL)])?;
        name(area, &chart, row, top)?;
    }
    Ok(())
}

fn decade(value: f64, round: fn(f64) -> f64) -> f64 {
    10_f64.powi(round(value.max(1e-6).log10()) as i32)
}

fn is_decade(value: f64) -> bool {
    let log = value.log10();
    (log - log.round()).abs() < 1e-6
}

/// To the left of its bar.
fn name<X, Y>(
    area: &Area<'_>,
    chart: &ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>,
    row: &Row,
    top: f64,
) -> Drawn
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let (left, y) = chart.backend_coord(&(chart.x_range().start, top + 0.5));
    let (x0, y0) = area.get_base_pixel();
    let text = format!("{}, {} {}", row.store.label(), row.workers, row.kind.name(row.workers));
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    let style = SMALL.into_text_style(area).pos(Pos::new(HPos::Right, VPos::Center));
    area.draw_text(&text, &style, (left - x0 - 6, y - y0))?;
    Ok(())
}

/// Colours that people who see no red or green can tell apart (Okabe and Ito).
fn color(store: Peer) -> RGBColor {
    match store {
        Peer::Shmtls => RGBColor(0, 114, 178),
        Peer::Lmdb => RGBColor(213, 94, 0),
        Peer::Httpd | Peer::Shmcache => RGBColor(230, 159, 0),
        Peer::Memcached | Peer::Redis => RGBColor(204, 121, 167),
        Peer::Dashmap | Peer::Papaya => RGBColor(0, 158, 115),
        Peer::Moka | Peer::QuickCache => RGBColor(86, 180, 233),
    }
}
