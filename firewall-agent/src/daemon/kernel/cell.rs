//! What the cell says: windows of confirmation, and modes.

use std::time::Duration;

use firewall_common::cell::{Cell, Mode, reached};

use super::{EnforceError, Kernel, normal};
use crate::failpoint::Step;

impl Kernel {
    /// The cell with what its deadline has brought about, should that be over.
    pub(super) fn settled_cell(&self) -> Result<Cell, EnforceError> {
        let cell = self.dataplane.cell()?;
        let Some(deadline) = cell.deadline_ticks else {
            return Ok(cell);
        };
        let is_over = reached(self.dataplane.clock()?.now_ticks, deadline);
        Ok(if is_over { normal(cell.fallback) } else { cell })
    }

    /// How long the change in force still waits for its confirmation: zero where the kernel side has gone back. `None`
    /// where none waits.
    pub(in crate::daemon) fn time_left(&self) -> Result<Option<Duration>, EnforceError> {
        let cell = self.dataplane.cell()?;
        let Some(deadline) = cell.deadline_ticks.filter(|_| cell.slot != cell.fallback) else {
            return Ok(None);
        };
        Ok(Some(self.dataplane.clock()?.until(deadline)))
    }

    /// The mode, and how long it lasts where it ends by itself.
    pub(in crate::daemon) fn mode(&self) -> Result<(Mode, Option<Duration>), EnforceError> {
        let cell = self.settled_cell()?;
        let left = match cell.deadline_ticks {
            Some(deadline) if cell.mode != Mode::Normal => Some(self.dataplane.clock()?.until(deadline)),
            _ => None,
        };
        Ok((cell.mode, left))
    }

    /// Judges by a mode from now on, for so long or until the next change of it. At the end packets are judged by the
    /// policy again.
    pub(in crate::daemon) fn set_mode(
        &mut self,
        mode: Mode,
        length: Option<Duration>,
    ) -> Result<(), EnforceError> {
        let cell = self.settled_cell()?;
        self.refuse_pending(cell)?;
        let deadline_ticks = match length {
            Some(length) => Some(self.dataplane.clock()?.deadline(length)),
            None => None,
        };
        self.dataplane.switch(Cell {
            mode,
            deadline_ticks,
            ..normal(cell.slot)
        })?;
        Step::ModeSwitched.done();
        Ok(())
    }

    /// The mode that was last switched to, also where it has ended by itself.
    pub(in crate::daemon) fn last_mode(&self) -> Mode {
        self.dataplane.cell().map_or(Mode::Normal, |cell| cell.mode)
    }

    /// Whether the kernel side drops everything but the failsafe.
    pub(in crate::daemon) fn is_in_panic(&self) -> bool {
        matches!(self.mode(), Ok((Mode::Panic, _)))
    }

    /// Panic is on from the first policy on that is put in force, and at once where there is one. A change that waits for
    /// its confirmation is taken back: its deadline would end the panic.
    pub(in crate::daemon) fn start_in_panic(&mut self) {
        if self.is_in_panic() {
            return;
        }
        let switched = self.dataplane.cell().and_then(|cell| {
            self.dataplane.switch(Cell {
                mode: Mode::Panic,
                ..normal(cell.fallback)
            })
        });
        self.owes_panic = switched.is_err();
    }

    /// Makes the change in force one for good.
    pub(in crate::daemon) fn keep(&mut self) -> Result<(), EnforceError> {
        let cell = self.dataplane.cell()?;
        self.dataplane.switch(Cell {
            fallback: cell.slot,
            deadline_ticks: None,
            ..cell
        })?;
        Step::Kept.done();
        self.fallback = None;
        Ok(())
    }

    /// Goes back to what was in force before the change that waits, and detaches what was attached for it alone. Returns
    /// that, and the number of the judgement in force.
    pub(in crate::daemon) fn go_back(&mut self) -> Result<(Vec<String>, Option<u32>), EnforceError> {
        let Some(fallback) = self.fallback.take() else {
            return Ok((Vec::new(), None));
        };
        if let Err(error) = self.dataplane.switch(fallback.cell) {
            self.fallback = Some(fallback);
            return Err(error.into());
        }
        Step::WentBack.done();
        self.others.retain(|other| other.slot != fallback.cell.slot);
        self.enforced = fallback.enforced;
        // A ban has given it another one meanwhile.
        let slots = self.dataplane.slots()?;
        let in_force = slots.iter().find(|slot| slot.slot == fallback.cell.slot);
        let epoch = in_force.map(|slot| slot.epoch);
        Ok((self.detach_unwanted()?, epoch))
    }

    /// Ends a window that nothing is known of: what the kernel side would go back to by itself is in force from now on.
    pub(in crate::daemon) fn end_unknown_window(&mut self) -> Result<(), EnforceError> {
        let cell = self.dataplane.cell()?;
        Ok(self.dataplane.switch(normal(cell.fallback))?)
    }
}
