//! The report as an SVG: throughput, tails and recovery.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::plan::Lock;
use super::report::{Contention, nanos};
use super::summary::Cell;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

const WIDTH: u32 = 900;
const PANEL: u32 = 420;
const FONT: (&str, u32) = ("sans-serif", 16);

/// A panel for each number of buckets and each question.
pub(super) fn draw(report: &Contention) -> Result<String, String> {
    let mut svg = String::new();
    draw_into(report, &mut svg).map_err(|error| error.to_string())?;
    Ok(svg)
}

fn draw_into(report: &Contention, svg: &mut String) -> Drawn {
    let mut buckets: Vec<_> = report.cells.iter().map(|cell| cell.buckets).collect();
    buckets.dedup();
    let has_recoveries = report.cells.iter().any(|cell| cell.recovery_ns.is_some());
    let panels = buckets.len() * (2 + usize::from(has_recoveries));
    let height = 100 + PANEL * panels as u32;
    let root = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(100);
    let mut lines = vec![report.workload.text(), report.machine.text()];
    lines.extend(report.notes.iter().cloned());
    for (at, line) in lines.iter().take(5).enumerate() {
        head.draw(&Text::new(line.clone(), (20, 8 + 18 * at as i32), ("sans-serif", 14)))?;
    }
    let mut areas = body.split_evenly((panels, 1)).into_iter();
    for buckets in buckets {
        let cells: Vec<_> = report.cells.iter().filter(|cell| cell.buckets == buckets).collect();
        let mut next = || areas.next().ok_or("a panel is missing");
        throughput(&next()?, &cells, buckets)?;
        bars(&next()?, &cells, (&format!("p99.9 of all operations, {buckets} buckets"), tail))?;
        if has_recoveries {
            let title = format!("from the kill of an owner to the next, p99, {buckets} buckets");
            let recovery = |cell: &Cell| cell.recovery_ns.map(|it| it.p99 as f64);
            bars(&next()?, &cells, (&title, recovery))?;
        }
    }
    root.present()?;
    Ok(())
}

fn throughput(area: &Area<'_>, cells: &[&Cell], buckets: u32) -> Drawn {
    let most = cells.iter().filter_map(|cell| Some(cell.mops?.max)).fold(0.0, f64::max).max(0.001);
    let processes = processes(cells);
    let last = processes.len() as f64 - 0.5;
    let mut chart = ChartBuilder::on(area)
        .caption(format!("throughput, {buckets} buckets"), FONT)
        .margin(15)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(-0.5..last, 0.0..most * 1.15)?;
    // Numbers of processes double, so they stand at equal distances.
    let name = |x: &f64| name_of(&processes, *x);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(2 * processes.len() + 1)
        .x_label_formatter(&name)
        .x_desc("processes")
        .y_desc("million operations a second")
        .draw()?;
    for (at, lock) in locks(cells).into_iter().enumerate() {
        let place = |cell: &Cell| processes.iter().position(|n| *n == cell.processes);
        let of = |cell: &&Cell| Some((place(cell)? as f64, cell.mops));
        let color = color(lock);
        let ours: Vec<_> = cells.iter().filter(|it| it.line == lock).filter_map(of).collect();
        let points = ours.iter().filter_map(|(x, mops)| Some((*x, mops.as_ref()?.median)));
        let points: Vec<_> = points.collect();
        chart
            .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?
            .label(lock.label())
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 12, y + 4)], color.filled()));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, color.filled())))?;
        let spreads = ours.iter().filter_map(|(x, mops)| Some((*x, (*mops)?)));
        chart.draw_series(spreads.map(|(x, mops)| {
            PathElement::new(vec![(x, mops.min), (x, mops.max)], color.stroke_width(1))
        }))?;
        let hung = ours.iter().filter(|(_, mops)| mops.is_none());
        let side = at as f64 * 0.05;
        chart.draw_series(
            hung.map(|(x, _)| Cross::new((x + side, most * 0.04), 7, color.stroke_width(3))),
        )?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .label_font(FONT)
        .draw()?;
    Ok(())
}

/// A bar for each cell, on a logarithmic scale of nanoseconds; a cross for one that hangs.
fn bars(
    area: &Area<'_>,
    cells: &[&Cell],
    (title, value): (&str, impl Fn(&Cell) -> Option<f64>),
) -> Drawn {
    let values: Vec<_> = cells.iter().filter_map(|cell| value(cell)).collect();
    let least = values.iter().copied().fold(f64::MAX, f64::min).clamp(2.0, 1e9) / 2.0;
    let most = values.iter().copied().fold(1000.0, f64::max) * 4.0;
    let processes = processes(cells);
    let last = processes.len() as f64 - 0.5;
    let mut chart = ChartBuilder::on(area)
        .caption(title, FONT)
        .margin(15)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(-0.5..last, (least..most).log_scale())?;
    let name = |x: &f64| name_of(&processes, *x);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(2 * processes.len() + 1)
        .x_label_formatter(&name)
        .y_label_formatter(&|y| nanos(*y as u64))
        .x_desc("processes")
        .draw()?;
    let locks = locks(cells);
    let width = 0.8 / locks.len() as f64;
    for (at, lock) in locks.iter().enumerate() {
        let color = color(*lock);
        let left = |cell: &Cell| {
            let place = processes.iter().position(|n| *n == cell.processes).unwrap_or(0);
            place as f64 - 0.4 + at as f64 * width
        };
        let ours: Vec<_> = cells.iter().filter(|cell| cell.line == *lock).collect();
        let bars = ours.iter().filter_map(|cell| Some((left(cell), value(cell)?)));
        chart
            .draw_series(
                bars.map(|(x, y)| {
                    Rectangle::new([(x, least), (x + width * 0.9, y)], color.filled())
                }),
            )?
            .label(lock.label())
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 12, y + 4)], color.filled()));
        let hung = ours.iter().filter(|cell| cell.hung);
        chart.draw_series(hung.map(|cell| {
            let middle = left(cell) + width / 2.0;
            Cross::new((middle, least * 1.3), 7, color.stroke_width(3))
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .label_font(FONT)
        .draw()?;
    Ok(())
}

/// Of gets or puts, whichever is longer.
fn tail(cell: &Cell) -> Option<f64> {
    let of = |latency: Option<super::summary::Latency>| latency.map(|it| it.p999.median);
    of(cell.get_ns).into_iter().chain(of(cell.put_ns)).reduce(f64::max)
}

fn processes(cells: &[&Cell]) -> Vec<u32> {
    let mut all: Vec<_> = cells.iter().map(|cell| cell.processes).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn locks(cells: &[&Cell]) -> Vec<Lock> {
    let is_there = |lock: &Lock| cells.iter().any(|cell| cell.line == *lock);
    Lock::ALL.into_iter().filter(is_there).collect()
}

/// The number of processes that stands at `x`; nothing between two.
fn name_of(processes: &[u32], x: f64) -> String {
    let is_whole = (x - x.round()).abs() < 0.01 && x > -0.1;
    let name = || processes.get(x.round() as usize).map(u32::to_string);
    is_whole.then(name).flatten().unwrap_or_default()
}

/// Colours that people who see no red or green can tell apart (Okabe and Ito).
fn color(lock: Lock) -> RGBColor {
    match lock {
        Lock::Robust => RGBColor(0, 114, 178),
        Lock::Watched => RGBColor(0, 158, 115),
        Lock::Small => RGBColor(204, 121, 167),
        Lock::Plain => RGBColor(86, 180, 233),
        Lock::Pthread => RGBColor(230, 159, 0),
        Lock::Futex => RGBColor(213, 94, 0),
        Lock::Copy => RGBColor(110, 110, 110),
    }
}
