//! Commands of `fwctl` that work on files, as operators run them: without root and without an agent.

mod explain;
mod import;
mod pcap;
mod replay;
mod run;
