//! The rates and latencies of writes as a picture.

use std::path::Path;

use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;

use crate::parts::writes::Row;
use crate::system::Outcome;

/// The size of the picture in pixels.
const SIZE: (u32, u32) = (1_200, 560);

/// A line for each system, distinct also for those who see no red or green (Okabe and Ito, "Color universal design", 2008).
const COLORS: [RGBColor; 7] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 0, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Draws two charts side by side: writes a second, and their median latency in milliseconds, both by callers.
pub(crate) fn draw(file: &Path, rows: &[Row]) -> Outcome<()> {
    let picture = SVGBackend::new(file, SIZE).into_drawing_area();
    picture.fill(&WHITE)?;
    let (left, right) = picture.split_horizontally(SIZE.0 / 2);
    chart(&left, "writes of 100 bytes, a second", rows, |row| row.rate().median)?;
    chart(&right, "their latency, p50, ms", rows, |row| row.latencies.percentile(50.0).as_secs_f64() * 1e3)?;
    picture.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn chart(area: &Area<'_>, title: &str, rows: &[Row], value: impl Fn(&Row) -> f64) -> Outcome<()> {
    let callers = rows.iter().map(|row| row.callers as f64);
    let values: Vec<f64> = rows.iter().map(&value).collect();
    let (least, most) = (fold(&values, f64::min), fold(&values, f64::max));
    let widest = callers.clone().fold(1.0, f64::max).max(2.0);
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .caption(title, ("sans-serif", 20))
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d((1.0..widest).log_scale(), (least * 0.7..most * 1.5).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("callers who share one client")
        .x_label_formatter(&|callers| format!("{callers:.0}"))
        .y_label_formatter(&|value| lovebird_benchmark::short(*value))
        .draw()?;
    let mut systems: Vec<&str> = Vec::new();
    for row in rows {
        if !systems.contains(&row.system.as_str()) {
            systems.push(&row.system);
        }
    }
    for (at, system) in systems.into_iter().enumerate() {
        let color = COLORS[at % COLORS.len()];
        let points: Vec<(f64, f64)> = rows
            .iter()
            .filter(|row| row.system == system)
            .map(|row| (row.callers as f64, value(row)))
            .collect();
        chart
            .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?
            .label(system)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}

fn fold(values: &[f64], choose: fn(f64, f64) -> f64) -> f64 {
    values.iter().copied().filter(|value| *value > 0.0).reduce(choose).unwrap_or(1.0)
}
