//! How many of so many second visits resumed.

pub(crate) struct Rate {
    pub(crate) pairs: u32,
    /// Pairs whose second visit resumed.
    pub(crate) resumed: u32,
    /// Why a visit failed, which ends the measurement.
    pub(crate) failure: Option<String>,
}

impl Rate {
    pub(crate) fn of(pairs: u32) -> Rate {
        Rate { pairs, resumed: 0, failure: None }
    }

    pub(crate) fn percent(&self) -> f64 {
        f64::from(self.resumed) * 100.0 / f64::from(self.pairs)
    }

    /// Within four standard deviations of one in `workers`.
    pub(crate) fn is_about_one_in(&self, workers: u32) -> bool {
        let chance = 1.0 / f64::from(workers);
        let deviation = (chance * (1.0 - chance) / f64::from(self.pairs)).sqrt();
        (self.percent() / 100.0 - chance).abs() <= 4.0 * deviation
    }

    /// The number and a bar, 16 columns in all.
    pub(crate) fn cell(&self) -> String {
        const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let eighths = (self.resumed * 64 / self.pairs) as usize;
        let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
        format!("{:5.1} % {bar:8}", self.percent())
    }
}
