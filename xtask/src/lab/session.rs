//! Connections that stay open: a program that answers each line with a line.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use super::{
    Lab,
    network::{ADMIN, DB, Host, WEB},
    servers::ssh,
};

/// How long an answer may take; a connection that is cut answers never.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection of a program; ends with the value.
pub(crate) struct Session {
    program: Child,
    questions: ChildStdin,
    answers: Receiver<String>,
}

impl Session {
    /// The administrator's SSH session on a server, over IPv6: `cat` runs at the other end.
    pub(crate) fn ssh(lab: &Lab, to: Host) -> Result<Self> {
        let mut client = ADMIN.namespace().command("dbclient");
        // Twice: the server's key was made a moment ago, and nobody is to remember it.
        client.args(["-y", "-y", "-T", "-i"]);
        client.arg(ssh::administrators_key(&lab.state)?);
        client.args([&format!("root@{}", to.v6), "cat"]);
        Self::open(&mut client)
    }

    /// The web server's SQL session on the database, over IPv4 and TLS.
    pub(crate) fn sql(lab: &Lab) -> Result<Self> {
        let mut client = WEB.namespace().command("mariadb");
        client.args([
            "--no-defaults",
            "--user=shop",
            "--password=shop",
            "--database=shop",
        ]);
        client.args([
            "--batch",
            "--skip-column-names",
            "--unbuffered",
            "--skip-reconnect",
        ]);
        client.arg(format!("--host={}", DB.v4));
        client.arg(format!("--ssl-ca={}", lab.authority.certificate().display()));
        Self::open(&mut client)
    }

    fn open(command: &mut Command) -> Result<Self> {
        let mut program = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let questions = program.stdin.take().context("standard input is piped")?;
        let output = program.stdout.take().context("standard output is piped")?;
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            program,
            questions,
            answers,
        })
    }

    /// Sends a line and returns the line that comes back.
    pub(crate) fn ask(&mut self, question: &str) -> Result<String> {
        writeln!(self.questions, "{question}").context("the session has ended")?;
        self.answers
            .recv_timeout(PATIENCE)
            .with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
