//! SVG plots of false decisions and of queries.

use plotters::{coord::Shift, prelude::*};

use super::{DifferentQueries, Efficiency, FalseDecisions};

type Drawn = Result<(), Box<dyn std::error::Error>>;

const COLOURS: [RGBColor; 3] = [RGBColor(40, 90, 180), RGBColor(200, 60, 40), RGBColor(90, 140, 60)];

fn svg(
    size: (u32, u32),
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Drawn,
) -> Result<String, String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE)
            .map_err(|error| error.to_string())
            .and_then(|()| draw(&root).map_err(|error| error.to_string()))?;
        root.present().map_err(|error| error.to_string())?;
    }
    Ok(text)
}

/// False decisions as parts of alpha, with their intervals: one line for each case, one colour for each mode.
///
/// # Errors
/// What the plotting library says.
pub fn false_decision_plot(report: &FalseDecisions) -> Result<String, String> {
    let cases: Vec<_> =
        report.cases.iter().filter_map(|case| case.wrong.map(|wrong| (case, wrong))).collect();
    let mut names: Vec<&str> = Vec::new();
    let mut modes: Vec<&str> = Vec::new();
    let mut widest: f64 = 1.0;
    for (case, wrong) in &cases {
        if !names.contains(&case.case.as_str()) {
            names.push(&case.case);
        }
        if !modes.contains(&case.mode.as_str()) {
            modes.push(&case.mode);
        }
        widest = widest.max(wrong.upper / case.alpha);
    }
    svg((900, 60 + 34 * (names.len() as u32 + 1)), |root| {
        let mut chart = ChartBuilder::on(root)
            .caption("False decisions as a part of alpha, 95 % intervals", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(270)
            .build_cartesian_2d(0.0..widest * 1.02, -0.6..names.len() as f64 - 0.4)?;
        let label = |place: &f64| {
            let nearest = place.round();
            let name =
                names.len().checked_sub(1 + nearest.max(0.0) as usize).and_then(|index| names.get(index));
            if (place - nearest).abs() < 0.01 {
                name.copied().unwrap_or("").to_owned()
            } else {
                String::new()
            }
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(names.len() * 2)
            .y_label_formatter(&label)
            .x_desc("false decisions / alpha")
            .draw()?;
        chart.draw_series(LineSeries::new(
            [(1.0, -0.6), (1.0, names.len() as f64 - 0.4)],
            BLACK.mix(0.6).stroke_width(2),
        ))?;
        for ((number, mode), colour) in modes.iter().enumerate().zip(COLOURS) {
            let here = || cases.iter().filter(|(case, _)| case.mode == *mode);
            let height = |name: &str| {
                let index = names.iter().position(|known| *known == name).unwrap_or(0);
                (names.len() - 1 - index) as f64 + 0.22 * (1.0 - number as f64)
            };
            chart.draw_series(here().map(|(case, wrong)| {
                let y = height(&case.case);
                PathElement::new(
                    vec![(wrong.lower / case.alpha, y), (wrong.upper / case.alpha, y)],
                    colour.stroke_width(2),
                )
            }))?;
            chart
                .draw_series(here().map(|(case, wrong)| {
                    Circle::new((wrong.part() / case.alpha, height(&case.case)), 3, colour.filled())
                }))?
                .label(*mode)
                .legend(move |(x, y)| Circle::new((x + 9, y), 3, colour.filled()));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE)
            .border_style(BLACK.mix(0.3))
            .draw()?;
        Ok(())
    })
}

/// The median of queries for DIFFERENT against the mean score, in rounds of five families and even scores: one line for
/// each mode.
///
/// # Errors
/// What the plotting library says.
pub fn efficiency_plot(report: &Efficiency) -> Result<String, String> {
    let shown = |row: &&DifferentQueries| row.families > 1 && row.shape == "even";
    let most = report.different.iter().filter(shown).map(|row| row.power.median_queries).max().unwrap_or(1);
    svg((760, 460), |root| {
        let mut chart = ChartBuilder::on(root)
            .caption("Queries for DIFFERENT, median", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(0.1..0.85, (4.0..f64::from(most) * 1.2).log_scale())?;
        chart.configure_mesh().x_desc("mean score").y_desc("queries").draw()?;
        for (same, colour) in report.same.iter().zip(COLOURS) {
            let points: Vec<(f64, f64)> = report
                .different
                .iter()
                .filter(shown)
                .filter(|row| row.mode == same.mode)
                .map(|row| (row.mean, f64::from(row.power.median_queries)))
                .collect();
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(&same.mode)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE)
            .border_style(BLACK.mix(0.3))
            .draw()?;
        Ok(())
    })
}
