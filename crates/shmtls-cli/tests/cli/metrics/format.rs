//! Prometheus's text format, read as strictly as it can be.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Labels = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// The type of each family.
    pub(crate) kinds: BTreeMap<String, String>,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) value: f64,
}

impl Exposition {
    #[track_caller]
    pub(crate) fn of(text: &str) -> Self {
        parse(text).unwrap_or_else(|error| panic!("{error}, in\n{text}"))
    }

    /// Of the sample that has these labels among others.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?} in {self:#?}"))
    }

    pub(crate) fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |it: &&Sample| {
            let is_there =
                |(name, value): &(&str, &str)| it.labels.get(*name).is_some_and(|v| v == value);
            it.name == name && labels.iter().all(is_there)
        };
        self.samples.iter().find(has).map(|it| it.value)
    }

    /// Counters, and what of histograms only goes up.
    pub(crate) fn counters(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|it| self.kinds.get(&it.name).is_none_or(|kind| kind != "gauge"))
    }
}

/// What is wrong with it, if anything is.
pub(crate) fn parse(text: &str) -> Result<Exposition, String> {
    let mut all = Exposition::default();
    let mut lines = text.lines().peekable();
    if !text.ends_with('\n') || text.contains('\r') {
        return Err("a line does not end with a line feed".into());
    }
    while let Some(line) = lines.next() {
        let help = line.strip_prefix("# HELP ").ok_or(format!("no HELP: {line}"))?;
        let (name, help) = help.split_once(' ').ok_or(format!("no help: {line}"))?;
        let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")));
        let kind = kind.ok_or(format!("no TYPE after {line}"))?;
        check_family(name, help, kind)?;
        if all.kinds.insert(name.into(), kind.into()).is_some() {
            return Err(format!("{name} comes twice"));
        }
        let start = all.samples.len();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            all.samples.push(sample(line)?);
        }
        check_samples(name, kind, &all.samples[start..])?;
    }
    let mut seen = BTreeSet::new();
    match all.samples.iter().find(|it| !seen.insert((&it.name, &it.labels))) {
        Some(twice) => Err(format!("{twice:?} comes twice")),
        None => Ok(all),
    }
}

fn check_family(name: &str, help: &str, kind: &str) -> Result<(), String> {
    let is_whole = |end: &&str| name.ends_with(*end);
    let reserved = ["_total", "_count", "_sum", "_bucket", "_info"].into_iter().find(is_whole);
    let fits = match kind {
        "counter" => reserved == Some("_total"),
        "gauge" => matches!(reserved, None | Some("_info")),
        "histogram" => reserved.is_none(),
        _ => false,
    };
    match () {
        () if !is_name(name) => Err(format!("{name:?} is no name")),
        () if !fits => Err(format!("{name} is no {kind}")),
        () if help.len() < 10 || help.contains('\\') => Err(format!("{name}: {help:?} is no help")),
        () => Ok(()),
    }
}

fn check_samples(family: &str, kind: &str, samples: &[Sample]) -> Result<(), String> {
    let own = |it: &&Sample| match it.name.strip_prefix(family) {
        Some("") => kind != "histogram",
        Some("_bucket" | "_sum" | "_count") => kind == "histogram",
        _ => false,
    };
    if let Some(stray) = samples.iter().find(|it| !own(it)) {
        return Err(format!("{stray:?} is none of {family}"));
    }
    if samples.is_empty() {
        return Err(format!("{family} has no samples"));
    }
    if let Some(odd) = samples.iter().find(|it| !it.value.is_finite() || it.value < 0.0) {
        return Err(format!("{odd:?} is no value of ours"));
    }
    if kind == "histogram" { check_histogram(family, samples) } else { Ok(()) }
}

/// For each set of labels: bounds and counts go up, and the last bucket has what the count has.
fn check_histogram(family: &str, samples: &[Sample]) -> Result<(), String> {
    let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    let (mut sums, mut counts) = (BTreeSet::new(), BTreeMap::new());
    for Sample { name, labels, value } in samples {
        let mut labels = labels.clone();
        let bound = labels.remove("le");
        match (&name[family.len()..], bound) {
            ("_bucket", Some(bound)) => {
                let bound = number(&bound)?;
                buckets.entry(labels).or_default().push((bound, *value));
            }
            ("_sum", None) => drop(sums.insert(labels)),
            ("_count", None) => drop(counts.insert(labels, *value)),
            _ => return Err(format!("{name}: an le too many or too few")),
        }
    }
    for (labels, buckets) in &buckets {
        let goes_up = buckets.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1);
        let last = *buckets.last().expect("one at least");
        let count = counts.get(labels).copied().unwrap_or(-1.0);
        if !goes_up || last != (f64::INFINITY, count) || !sums.contains(labels) {
            return Err(format!("{family} {labels:?}: {buckets:?}, of {count}"));
        }
    }
    let is_whole = buckets.len() == counts.len() && buckets.len() == sums.len();
    if is_whole { Ok(()) } else { Err(format!("{family}: sums or counts without buckets")) }
}

/// `name{label="value",...} 7`, without a time.
fn sample(line: &str) -> Result<Sample, String> {
    let at = line.find(['{', ' ']).ok_or(format!("no value: {line}"))?;
    let (name, rest) = line.split_at(at);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest).map_err(|error| format!("{error}: {line}"))?,
        None => (Labels::new(), rest),
    };
    let value = value.strip_prefix(' ').ok_or(format!("no space before the value: {line}"))?;
    let is_ours = is_name(name) && value.parse::<f64>().is_ok();
    if !is_ours {
        return Err(format!("no sample: {line}"));
    }
    Ok(Sample { name: name.into(), labels, value: number(value)? })
}

/// Up to the brace that closes them, and what is behind it.
fn labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("no label")?;
        let (value, after) = quoted(after)?;
        let is_label = is_name(name) && !name.contains(':') && !name.starts_with("__");
        if !is_label || labels.insert(name.into(), value).is_some() {
            return Err(format!("{name:?} is no label, or comes twice"));
        }
        match after.split_at_checked(1) {
            Some((",", more)) => rest = more,
            Some(("}", value)) => return Ok((labels, value)),
            _ => return Err("labels without an end".into()),
        }
    }
}

/// The value of a label, unescaped, and what is behind its quote.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, c @ ('\\' | '"'))) => c,
                other => return Err(format!("an escape of {other:?}")),
            }),
            c => value.push(c),
        }
    }
    Err("a quote too few".into())
}

/// `+Inf`, or digits as every reader takes them.
fn number(text: &str) -> Result<f64, String> {
    let plain = text.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'.' | b'e' | b'-' | b'+'));
    match text {
        "+Inf" => Ok(f64::INFINITY),
        _ if plain => text.parse().map_err(|_| format!("{text:?} is no number")),
        _ => Err(format!("{text:?} is no number")),
    }
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    text.chars().all(fits) && text.chars().next().is_some_and(|c| !c.is_ascii_digit())
}

#[test]
fn the_parser_finds_what_is_wrong() {
    let head = "# HELP a_total Some help.\n# TYPE a_total counter\n";
    let right = [
        format!("{head}a_total 1\n"),
        format!("{head}a_total{{b=\"x\\\\\\\"\\n}},\",c=\"\"}} 1e+06\n"),
    ];
    for right in right {
        parse(&right).unwrap_or_else(|error| panic!("{error}: {right}"));
    }
    let wrong_samples = [
        "",
        "a_total 1",
        "\n",
        "a_total\n",
        "a_total x\n",
        "a_total  1\n",
        "a_total 1 2\n",
        "a_total NaN\n",
        "a_total -1\n",
        "b_total 1\n",
        "a_total{} 1\n",
        "a_total{b=\"x\"\n",
        "a_total{b=\"x\"}1\n",
        "a_total{b=\"\\x\"} 1\n",
        "a_total{b=\"x\",b=\"y\"} 1\n",
        "a_total{b:c=\"x\"} 1\n",
        "a_total{1=\"x\"} 1\n",
        "a_total{b=\"x\"} 1\na_total{b=\"x\"} 2\n",
        "a_total 1\r\n",
        "# a comment\n",
    ];
    for wrong in wrong_samples {
        assert!(parse(&format!("{head}{wrong}")).is_err(), "{wrong:?}");
    }
    let wrong_heads = [
        "a_total 1\n",
        "# TYPE a_total counter\na_total 1\n",
        "# HELP a_total Some help.\na_total 1\n",
        "# HELP a_total Some help.\n# TYPE a_total gauge\na_total 1\n",
        "# HELP a Some help.\n# TYPE a counter\na 1\n",
        "# HELP 1_total Some help.\n# TYPE 1_total counter\n1_total 1\n",
    ];
    for wrong in wrong_heads {
        assert!(parse(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_parser_finds_what_is_wrong_with_a_histogram() {
    let of = |samples: &str| parse(&format!("# HELP h Some waits.\n# TYPE h histogram\n{samples}"));
    let bucket = |bound: &str, count: u32| format!("h_bucket{{le=\"{bound}\"}} {count}\n");
    let (end, sum) = (bucket("+Inf", 3), "h_sum 1\nh_count 3\n");
    of(&[&bucket("0.5", 2), &end, sum].concat()).expect("as it should be");
    let wrong = [
        [&bucket("0.5", 4), &end, sum].concat(),
        [&end, &bucket("0.5", 2), sum].concat(),
        [&bucket("0.5", 3), sum].concat(),
        [&bucket("0.5", 2), &end, "h_sum 1\nh_count 4\n"].concat(),
        [&bucket("0.5", 2), &end, "h_count 3\n"].concat(),
        ["h_bucket 3\n", sum].concat(),
        sum.into(),
        "h 3\n".into(),
    ];
    for wrong in wrong {
        assert!(of(&wrong).is_err(), "{wrong}");
    }
}
