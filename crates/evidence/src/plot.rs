//! The running interval as an SVG picture: what was known of the mean distance after each question.
//!
//! Nothing in it comes from a name or an answer, and it depends on no font: the same bytes for everybody.

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use lorica_identity::Plan;

use crate::summary::TracePoint;

const SIZE: (u32, u32) = (920, 400);
const INK: RGBColor = RGBColor(38, 43, 51);
const FAINT: RGBColor = RGBColor(225, 228, 233);
const BAND: RGBColor = RGBColor(74, 111, 165);
const SAME: RGBColor = RGBColor(30, 120, 70);
const DIFFERENT: RGBColor = RGBColor(176, 48, 40);

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[error("the plot cannot be drawn: {0}")]
pub(crate) struct PlotError(String);

fn failed(error: impl std::fmt::Display) -> PlotError {
    PlotError(error.to_string())
}

/// Draws the interval after each question, with the thresholds of the plan, on the scale of distances.
pub(crate) fn draw(plan: &Plan, trace: &[TracePoint]) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        draw_on(&area, plan, trace)?;
        area.present().map_err(failed)?;
    }
    svg.push('\n');
    Ok(svg)
}

fn draw_on(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    plan: &Plan,
    trace: &[TracePoint],
) -> Result<(), PlotError> {
    let distance = |score: f64| plan.scale().to_distance(score);
    let (gamma, delta) = (plan.mode().gamma(), plan.mode().delta_star());
    let last = trace.last();
    let queries = last.map_or(plan.maximum(), |point| point.n).max(5);
    // A little room, so that the bounds after the last question can be seen.
    let end = f64::from(queries) * 1.04;
    let mean = last.and_then(|point| point.mean).map_or(0.0, distance);
    let top = (delta * 3.0).max(mean * 1.8).clamp(0.3, 1.0);
    let bottom = if distance(0.0) < 0.0 { -0.5 * top } else { 0.0 };

    area.fill(&WHITE).map_err(failed)?;
    let mut chart = ChartBuilder::on(area)
        .margin_top(14)
        .margin_right(150)
        .margin_left(6)
        .margin_bottom(6)
        .x_label_area_size(44)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..end, bottom..top)
        .map_err(failed)?;
    let label = ("sans-serif", 15).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .label_style(label.clone())
        .x_labels(9)
        .y_labels(7)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{:.2}", if y.abs() < 0.005 { 0.0 } else { *y }))
        .x_desc("questions asked")
        .y_desc("average distance")
        .axis_desc_style(label.clone())
        .draw()
        .map_err(failed)?;

    // Bounds hold from the question on that they were computed at: steps, from [0, 1] at the beginning.
    let clip = |value: f64| distance(value).clamp(bottom, top);
    let steps = |bound: fn(&TracePoint) -> f64, start: f64| {
        let mut line = vec![(0.0, clip(start))];
        for point in trace {
            let before = line.last().map_or(0.0, |last| last.1);
            line.push((f64::from(point.n), before));
            line.push((f64::from(point.n), clip(bound(point))));
        }
        let after = line.last().map_or(0.0, |last| last.1);
        line.push((end, after));
        line
    };
    let (lower, upper) = (steps(|point| point.lower, 0.0), steps(|point| point.upper, 1.0));
    let outline: Vec<(f64, f64)> = upper.iter().chain(lower.iter().rev()).copied().collect();
    chart.draw_series([Polygon::new(outline, BAND.mix(0.16))]).map_err(failed)?;
    for line in [&lower, &upper] {
        chart.draw_series(LineSeries::new(line.iter().copied(), BAND.stroke_width(2))).map_err(failed)?;
    }
    let radius = if trace.len() <= 100 { 3 } else { 2 };
    let scores = trace.iter().filter_map(|point| Some((f64::from(point.n), distance(point.score?))));
    let scores = scores.filter(|(_, score)| (bottom..=top).contains(score));
    chart.draw_series(scores.map(|at| Circle::new(at, radius, BAND.mix(0.6).filled()))).map_err(failed)?;
    let means = trace.iter().filter_map(|point| Some((f64::from(point.n), clip(point.mean?))));
    chart.draw_series(LineSeries::new(means, INK.stroke_width(2))).map_err(failed)?;

    for (level, color) in [(gamma, SAME), (delta, DIFFERENT)] {
        let line = [(0.0, level), (end, level)];
        chart.draw_series(DashedLineSeries::new(line, 7, 5, color.stroke_width(2))).map_err(failed)?;
    }
    // Two thresholds can be close to each other: one is named above its line and one below.
    for (level, text, color, side) in [
        (delta, format!("different from {delta}"), DIFFERENT, VPos::Bottom),
        (gamma, format!("same up to {gamma}"), SAME, VPos::Top),
    ] {
        let (x, y) = chart.backend_coord(&(end, level));
        let style = ("sans-serif", 15).into_font().color(&color).pos(Pos::new(HPos::Left, side));
        area.draw_text(&text, &style, (x.saturating_add(8), y)).map_err(failed)?;
    }
    if trace.is_empty() {
        let (x, y) = chart.backend_coord(&(end / 2.0, top / 2.0));
        let style = ("sans-serif", 18).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Center));
        area.draw_text("no question was scored", &style, (x, y)).map_err(failed)?;
    }
    Ok(())
}
