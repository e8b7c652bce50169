//! The model, and what the user has chosen to see of it.

use super::input::Action;
use super::model::Model;
use super::model::shot::Process;
use super::view::theme::Theme;

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) model: Model,
    pub(crate) theme: Theme,
    pub(crate) view: View,
    pub(crate) sort: Sort,
    pub(crate) help: bool,
    pub(crate) paused: bool,
    /// Rows that are scrolled past: of the list, or the row of the heat map that is pointed at.
    pub(crate) row: usize,
    /// The cell of that row.
    pub(crate) column: usize,
    /// Events that have come since the list was scrolled.
    seen: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Processes,
    Buckets,
    Events,
    Keys,
}

/// The column that processes are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Gets,
    News,
    Removes,
    /// The worst first.
    Hit,
    Foreign,
    Contended,
    /// The oldest first.
    Keys,
    Pid,
}

/// What the loop has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    GoOn,
    /// To another size, or to the same one by way of a smaller: what was drawn may be lost.
    Resized,
    Quit,
    Interrupted,
    Suspend,
}

impl App {
    pub(crate) fn new(theme: Theme) -> Self {
        Self {
            model: Model::new(),
            theme,
            view: View::Processes,
            sort: Sort::Gets,
            help: false,
            paused: false,
            row: 0,
            column: 0,
            seen: 0,
        }
    }

    pub(crate) fn act(&mut self, action: Action) -> Next {
        match action {
            Action::Quit => return Next::Quit,
            Action::Interrupt => return Next::Interrupted,
            Action::Suspend => return Next::Suspend,
            Action::Help => self.help = !self.help,
            // Any other key leaves the help as it would have been without.
            _ if self.help && action == Action::Back => self.help = false,
            Action::Back => self.show(View::Processes),
            Action::Show(view) if view == self.view => self.show(View::Processes),
            Action::Show(view) => self.show(view),
            Action::Sort => self.sort = self.sort.next(),
            Action::Pause => self.paused = !self.paused,
            Action::Rows(by) => self.scroll(by),
            Action::Columns(by) => self.column = self.column.saturating_add_signed(by),
            Action::Top => self.row = 0,
            Action::Bottom => self.row = usize::MAX,
        }
        Next::GoOn
    }

    fn show(&mut self, view: View) {
        (self.view, self.help, self.row, self.column) = (view, false, 0, 0);
    }

    fn scroll(&mut self, by: isize) {
        self.row = self.row.saturating_add_signed(by);
    }

    /// Who scrolled back in the events wants to read them: new ones push the list on beneath.
    pub(crate) fn follow_events(&mut self) {
        let total = self.model.events.total;
        let new = total.saturating_sub(self.seen) as usize;
        if self.view == View::Events && self.row > 0 {
            self.row = self.row.saturating_add(new);
        }
        self.seen = total;
    }

    /// What can be seen limits what can be pointed at: `rows` and `columns` are the last ones.
    pub(crate) fn keep_within(&mut self, rows: usize, columns: usize) {
        self.row = self.row.min(rows);
        self.column = self.column.min(columns);
    }

    /// In the order of the sort column.
    pub(crate) fn processes(&self) -> Vec<&Process> {
        let mut list: Vec<_> = self.model.shot.iter().flat_map(|shot| &shot.processes).collect();
        list.sort_by_key(|it| it.pid);
        // Stable: what is equal stays in the order of process IDs.
        list.sort_by(|a, b| self.weight(b).total_cmp(&self.weight(a)));
        list
    }

    /// The heaviest comes first.
    fn weight(&self, process: &Process) -> f64 {
        let Some(span) = self.model.of_process(process) else { return f64::NEG_INFINITY };
        let counts = span.counts;
        let share = |part: u64, whole: u64| match whole {
            0 => f64::NEG_INFINITY,
            _ => part as f64 / whole as f64,
        };
        match self.sort {
            Sort::Gets => span.lookups(),
            Sort::News => span.rate(counts.stored),
            Sort::Removes => span.rate(counts.removed),
            Sort::Hit => share(counts.missed(), counts.lookups()),
            Sort::Foreign => share(counts.foreign, counts.hits),
            Sort::Contended => share(counts.waits, counts.operations()),
            Sort::Keys => -(process.key_epoch as f64),
            Sort::Pid => 0.0,
        }
    }
}

impl Sort {
    const ALL: [Self; 8] = [
        Self::Gets,
        Self::News,
        Self::Removes,
        Self::Hit,
        Self::Foreign,
        Self::Contended,
        Self::Keys,
        Self::Pid,
    ];

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|it| *it == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}
