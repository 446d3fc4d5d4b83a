//! Lines against a size, both axes logarithmic, as SVG.

use plotters::prelude::*;

/// Colours of lines, told apart in print as well.
pub const GREY: RGBColor = RGBColor(120, 120, 120);
/// See [`GREY`].
pub const RED: RGBColor = RGBColor(200, 60, 40);
/// See [`GREY`].
pub const ORANGE: RGBColor = RGBColor(230, 150, 50);
/// See [`GREY`].
pub const BLUE: RGBColor = RGBColor(40, 90, 180);

/// A line.
pub struct Line {
    /// What it shows.
    pub name: String,
    /// Its colour.
    pub colour: RGBColor,
    /// Points, by increasing size; all numbers positive.
    pub points: Vec<(f64, f64)>,
}

/// A plot.
pub struct Plot<'a> {
    /// Its title.
    pub title: &'a str,
    /// What the size is.
    pub size: &'a str,
    /// What is shown against it, with the unit.
    pub value: &'a str,
    /// The lines.
    pub lines: Vec<Line>,
}

impl Plot<'_> {
    /// The plot; `None` unless some line has points of two sizes.
    pub fn svg(&self) -> Option<Result<String, String>> {
        let sizes = || self.lines.iter().flat_map(|line| line.points.iter().map(|point| point.0));
        let values = || self.lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
        let least = |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(f64::INFINITY, f64::min);
        let (first, last) = (least(&mut sizes()), sizes().fold(0.0, f64::max));
        if first >= last {
            return None;
        }
        let (low, high) = (least(&mut values()), values().fold(0.0, f64::max));
        let mut svg = String::new();
        let drawn = (|| -> Result<(), Box<dyn std::error::Error>> {
            let root = SVGBackend::with_string(&mut svg, (760, 460)).into_drawing_area();
            root.fill(&WHITE)?;
            let mut chart = ChartBuilder::on(&root)
                .caption(self.title, ("sans-serif", 18))
                .margin(12)
                .x_label_area_size(40)
                .y_label_area_size(64)
                .build_cartesian_2d((first..last * 1.05).log_scale(), (low * 0.8..high * 1.3).log_scale())?;
            chart.configure_mesh().x_desc(self.size).y_desc(self.value).draw()?;
            for Line { name, colour, points } in &self.lines {
                let stroke = colour.stroke_width(2);
                chart
                    .draw_series(LineSeries::new(points.iter().copied(), stroke))?
                    .label(name)
                    .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], stroke));
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE)
                .border_style(BLACK.mix(0.3))
                .draw()?;
            root.present()?;
            Ok(())
        })();
        Some(drawn.map(|()| svg).map_err(|error| error.to_string()))
    }
}
