//! `firewall-agent`, built with the suites that run it. It takes orders from a file, and removes the file when it has
//! understood: the name of a step of a change at which it is to die, or `calendar` and the seconds by which its calendar is
//! to stand ahead of the machine's.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use firewall_agent::{
    calendar,
    failpoint::{Step, die_at},
};

/// Where the orders are.
const ORDERS: &str = "FIREWALL_SUITE_ORDERS";

fn main() -> ExitCode {
    if let Some(orders) = env::var_os(ORDERS) {
        let orders = PathBuf::from(orders);
        // What is there before the agent starts holds for its start.
        take_order(&orders);
        thread::spawn(move || take_orders(&orders));
    }
    firewall_agent::daemon::main(env::args_os())
}

fn take_orders(orders: &Path) {
    loop {
        take_order(orders);
        thread::sleep(Duration::from_millis(5));
    }
}

fn take_order(orders: &Path) {
    let Ok(order) = fs::read_to_string(orders) else {
        return;
    };
    if let Some(step) = Step::named(&order) {
        die_at(step);
    } else if let Some(Ok(seconds)) = order.strip_prefix("calendar ").map(str::parse) {
        calendar::step(seconds);
    } else {
        return;
    }
    // Whoever has given them waits for this.
    let _ = fs::remove_file(orders);
}
