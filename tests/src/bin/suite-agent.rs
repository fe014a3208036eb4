//! `firewall-agent`, built with the suites that run it. It takes orders from a file: the name of a step of a change at
//! which it is to die, and removes the file when it has understood.

use std::{env, fs, path::PathBuf, process::ExitCode, thread, time::Duration};

use firewall_agent::failpoint::{Step, die_at};

/// Where the orders are.
const ORDERS: &str = "FIREWALL_SUITE_ORDERS";

fn main() -> ExitCode {
    if let Some(orders) = env::var_os(ORDERS) {
        thread::spawn(move || take_orders(&orders.into()));
    }
    firewall_agent::daemon::main(env::args_os())
}

fn take_orders(orders: &PathBuf) {
    loop {
        let step = fs::read_to_string(orders).ok();
        if let Some(step) = step.and_then(|name| Step::named(&name)) {
            die_at(step);
            // Whoever has given them waits for this.
            let _ = fs::remove_file(orders);
        }
        thread::sleep(Duration::from_millis(5));
    }
}
