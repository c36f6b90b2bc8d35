//! The method: in every round each case runs once, in an order that is shuffled anew, and the figure of a case is the
//! median over the rounds. So a slow minute of the machine slows all cases alike, and the ratios hold.

use std::collections::BTreeMap;

use crate::Random;

/// Nanoseconds that this thread has had a processor, from some start.
#[cfg(unix)]
pub fn nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds from some start.
#[cfg(not(unix))]
pub fn nanos() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// How long this takes, in nanoseconds.
pub fn time<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let started = nanos();
    let value = work();
    ((nanos() - started) as f64, value)
}

/// A figure with the spread of its samples.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    pub median: f64,
    pub p10: f64,
    pub p90: f64,
}

impl Figure {
    /// Of samples; there must be one.
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |percent: usize| samples[(samples.len() - 1) * percent / 100];
        Self { median: at(50), p10: at(10), p90: at(90) }
    }

    /// Something counted, which has no spread.
    pub fn exact(value: f64) -> Self {
        Self { median: value, p10: value, p90: value }
    }

    /// In another unit.
    pub fn scaled(self, factor: f64) -> Self {
        Self { median: self.median * factor, p10: self.p10 * factor, p90: self.p90 * factor }
    }
}

/// Figures by the names of their cases.
pub type Figures = BTreeMap<String, Figure>;

/// Runs one round of every case, `rounds` times, each round in another order; a case returns its own samples by name.
pub struct Rounds<'a> {
    cases: Vec<Box<dyn FnMut(&mut Samples) + 'a>>,
}

/// What was measured so far.
#[derive(Default)]
pub struct Samples(BTreeMap<String, Vec<f64>>);

impl Samples {
    /// Notes a sample of a case.
    pub fn note(&mut self, name: &str, value: f64) {
        match self.0.get_mut(name) {
            Some(samples) => samples.push(value),
            None => {
                self.0.insert(name.to_owned(), vec![value]);
            }
        }
    }

    /// The figures of all cases.
    pub fn figures(self) -> Figures {
        self.0.into_iter().map(|(name, samples)| (name, Figure::of(samples))).collect()
    }
}

impl<'a> Rounds<'a> {
    #[expect(clippy::new_without_default, reason = "it says what it is")]
    pub fn new() -> Self {
        Self { cases: Vec::new() }
    }

    /// A case that measures itself.
    pub fn add(&mut self, case: impl FnMut(&mut Samples) + 'a) {
        self.cases.push(Box::new(case));
    }

    /// A case that does `count` operations; it is called with as many as fill `sample_ms`, and noted in nanoseconds an
    /// operation.
    pub fn operation(&mut self, name: impl Into<String>, sample_ms: f64, mut run: impl FnMut(u64) + 'a) {
        let name = name.into();
        let count = calibrate(sample_ms * 1e6, &mut run);
        self.add(move |samples| {
            let (elapsed, ()) = time(|| run(count));
            samples.note(&name, elapsed / count as f64);
        });
    }

    /// Measures, and tells how far it is on stderr.
    pub fn run(mut self, label: &str, rounds: usize) -> Figures {
        let mut random = Random(0x5EED);
        let mut samples = Samples::default();
        for round in 1..=rounds {
            eprintln!("{label}: round {round} of {rounds}");
            random.shuffle(&mut self.cases);
            for case in &mut self.cases {
                case(&mut samples);
            }
        }
        samples.figures()
    }
}

/// How many operations fill a sample; warms up on the way.
fn calibrate(sample: f64, run: &mut impl FnMut(u64)) -> u64 {
    // The first builds what the others read, and is no measure of them.
    run(1);
    let mut count = 1;
    loop {
        let (elapsed, ()) = time(|| run(count));
        if elapsed >= sample / 4.0 {
            return ((count as f64 * sample / elapsed).ceil() as u64).max(1);
        }
        count *= 2;
    }
}
