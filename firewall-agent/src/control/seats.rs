//! Who is being served, by user: so many at once, and who is silent makes room for who is not.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::Limits;

/// How often who waits looks for a place.
const INTERVAL: Duration = Duration::from_millis(20);

/// Looks until another client is asked to go: the one that was asked takes a moment.
const LOOKS: u32 = 10;

/// The places of all users.
#[derive(Debug, Default)]
pub(super) struct Seats {
    users: Mutex<HashMap<u32, User>>,
}

/// The clients of a user.
#[derive(Debug, Default)]
struct User {
    served: usize,
    waiting: usize,
    /// Those that have not asked anything since the last answer, the longest silent first.
    silent: VecDeque<oneshot::Sender<()>>,
}

/// A place among the clients, until it is dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    uid: u32,
}

/// A place among those who wait, until it is dropped.
struct Waiting<'a> {
    seats: &'a Seats,
    uid: u32,
}

impl Seats {
    fn users(&self) -> MutexGuard<'_, HashMap<u32, User>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, for which a client of the same user that is silent may have to go; none where all are busy for too long,
    /// or as many wait already as are served.
    pub(super) async fn wait(self: &Arc<Self>, uid: u32, limits: &Limits) -> Option<Seat> {
        if let Some(seat) = self.take(uid, limits) {
            return Some(seat);
        }
        let _waiting = self.queue(uid, limits)?;
        let end = Instant::now() + limits.seat;
        for look in 0.. {
            if let Some(seat) = self.take(uid, limits) {
                return Some(seat);
            }
            if look % LOOKS == 0 {
                self.ask_to_go(uid);
            }
            if Instant::now() >= end {
                return None;
            }
            sleep(INTERVAL).await;
        }
        None
    }

    fn take(self: &Arc<Self>, uid: u32, limits: &Limits) -> Option<Seat> {
        let mut users = self.users();
        let own = users.get(&uid).map_or(0, |user| user.served);
        let others = users.iter().filter(|(uid, _)| **uid != 0);
        let others: usize = others.map(|(_, user)| user.served).sum();
        let free = match uid {
            0 => own < limits.root_clients,
            _ => own < limits.clients_per_user && others < limits.clients,
        };
        free.then(|| {
            users.entry(uid).or_default().served += 1;
            Seat {
                seats: self.clone(),
                uid,
            }
        })
    }

    fn queue(&self, uid: u32, limits: &Limits) -> Option<Waiting<'_>> {
        let mut users = self.users();
        let user = users.entry(uid).or_default();
        if user.waiting >= limits.clients_per_user {
            return None;
        }
        user.waiting += 1;
        Some(Waiting { seats: self, uid })
    }

    fn ask_to_go(&self, uid: u32) {
        let mut users = self.users();
        let Some(user) = users.get_mut(&uid) else { return };
        while let Some(silent) = user.silent.pop_front() {
            // One that has said something since does not listen any more.
            if silent.send(()).is_ok() {
                return;
            }
        }
    }

    fn leave(&self, uid: u32, change: impl FnOnce(&mut User)) {
        let mut users = self.users();
        if let Some(user) = users.get_mut(&uid) {
            change(user);
            if user.served == 0 && user.waiting == 0 {
                users.remove(&uid);
            }
        }
    }
}

impl Seat {
    /// Returns when this client, which has to be silent, is to make room.
    pub(super) async fn wanted_by_another(&self) {
        let (asks, asked) = oneshot::channel();
        {
            let mut users = self.seats.users();
            let user = users.entry(self.uid).or_default();
            user.silent.retain(|silent| !silent.is_closed());
            user.silent.push_back(asks);
        }
        // It is dropped with the user's last place, which is not while this one is taken.
        let _ = asked.await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.leave(self.uid, |user| user.served -= 1);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.seats.leave(self.uid, |user| user.waiting -= 1);
    }
}
