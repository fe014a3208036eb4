//! Whose listening sockets are: what `/proc` says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The tables of sockets (`proc(5)`), and the protocols that they are of.
const TABLES: [(&str, &str); 4] = [("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp")];

/// Columns of a socket's line.
const LOCAL: usize = 1;
const INODE: usize = 9;

/// Processes by the ports that they have sockets on. What may not be looked at is left out.
#[derive(Debug, Default)]
pub(super) struct Processes(BTreeMap<(String, u16), BTreeSet<String>>);

impl Processes {
    pub(super) fn now() -> Self {
        let mut ports: BTreeMap<String, (String, u16)> = BTreeMap::new();
        for (file, protocol) in TABLES {
            let text = fs::read_to_string(Path::new("/proc/net").join(file)).unwrap_or_default();
            for (inode, port) in sockets(&text) {
                ports.insert(format!("socket:[{inode}]"), (protocol.to_owned(), port));
            }
        }
        let mut processes = Self::default();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let path = process.path();
            let Ok(name) = fs::read_to_string(path.join("comm")) else {
                continue;
            };
            for file in fs::read_dir(path.join("fd")).into_iter().flatten().flatten() {
                let target = fs::read_link(file.path()).unwrap_or_default();
                if let Some(port) = ports.get(&*target.to_string_lossy()) {
                    let names = processes.0.entry(port.clone()).or_default();
                    names.insert(name.trim().to_owned());
                }
            }
        }
        processes
    }

    /// The names of those with a socket on a port.
    pub(super) fn of(&self, protocol: &str, port: u16) -> BTreeSet<String> {
        let port = (protocol.to_owned(), port);
        self.0.get(&port).cloned().unwrap_or_default()
    }
}

/// The inode and the local port of each socket.
fn sockets(table: &str) -> impl Iterator<Item = (&str, u16)> {
    table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = words.get(LOCAL)?.rsplit_once(':')?;
        Some((*words.get(INODE)?, u16::from_str_radix(port, 16).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   113        0 21305 1 0 100 0 0 10 0
";
        assert_eq!(sockets(table).collect::<Vec<_>>(), [("21305", 3306)]);
    }

    #[test]
    fn this_process_is_found_by_its_socket() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let own = fs::read_to_string("/proc/self/comm").expect("a name");
        let found = Processes::now();
        assert!(found.of("tcp", port).contains(own.trim()), "{found:?}");
        assert!(found.of("udp", port).is_empty() || port != 0);
    }
}
