//! `fwctl top`: what the firewall is doing, as it does it.

mod app;
mod feed;
mod keys;
mod rates;
mod signals;
mod view;

pub(super) use self::app::Figures;
use std::{
    io::{self, IsTerminal},
    sync::mpsc::{Receiver, TryRecvError},
    time::{Duration, Instant},
};

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{self, Event},
};

use self::{
    app::{App, Wish},
    feed::{Fed, follow},
    rates::Sample,
    signals::EndSignal,
};
use super::{
    Agent, CliError, expect_response,
    output::{Exit, Output, write},
    span::Span,
};
use crate::control::protocol::{NewBan, Request, Response};

const EXAMPLES: &str = "\
Keys:
  q, Ctrl-C  quit                    Up, Down  choose a rule
  s          sort by the next column Enter     everything about the rule; Esc goes back
  /          show rules whose name has these letters; Enter ends, Esc forgets
  p          pause and go on         c         sources or ports of logged packets
  Tab        choose a source         b         ban the source, after a question
  h          recent changes

Examples:
  fwctl top
  fwctl top --once            one picture of 80 columns, for scripts and tickets
  fwctl top --once --json     its figures

A rule in detail lists its logged packets: choose one to ban its source. Bans are those of `fwctl ban`; the agent says
what has come of them in the last line. Changes are those of `fwctl history`.

Sources and ports are those of logged packets (see `fwctl events`), of the last minute.

SIGTERM and SIGHUP end it as `q` does.

Exit codes: 0 done; 2 the command line is wrong, or this is no terminal; 3 no agent; 4 not allowed";

/// How long a key may wait for the next look.
const KEY_PATIENCE: Duration = Duration::from_millis(100);

/// Changes that are shown.
const CHANGES: usize = 20;

/// What a ban from here says of itself.
const BAN_REASON: &str = "from fwctl top";

/// The size of the picture that is printed.
const PICTURE: (u16, u16) = (80, 24);

/// Shows rates by rule and reason, sources, flows and changes, as they are.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Top {
    /// How often to look.
    #[arg(long, default_value = "1s", value_name = "TIME")]
    interval: Span,
    /// Print one picture and end.
    #[arg(long)]
    once: bool,
}

impl Top {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let interval = Duration::from_secs(self.interval.seconds().max(1));
        let is_watched = io::stdin().is_terminal() && output.is_terminal();
        if !self.once && (output.is_json() || !is_watched) {
            let message = "a dashboard needs a terminal; --once prints one picture";
            return Err(CliError::Usage(message.to_owned()));
        }
        let signal = (!self.once).then(EndSignal::catch);
        let started = Instant::now();
        let mut app = App::new(output.has_colour());
        app.take(sample(agent, started)?);
        let events = follow(agent.socket())?;
        if self.once {
            std::thread::sleep(interval);
            app.take(sample(agent, started)?);
            drain(&mut app, &events, started);
            return picture(&app, output);
        }
        agent.silence();
        let mut terminal = ratatui::try_init()?;
        let is_over = || signal.as_ref().is_some_and(EndSignal::is_there);
        let ended = dashboard(
            &mut terminal,
            agent,
            &mut app,
            &events,
            interval,
            started,
            is_over,
        );
        // Whatever has happened, the terminal has to be as it was.
        let restored = ratatui::try_restore();
        ended?;
        Ok(restored.map(|()| Exit::Done)?)
    }
}

fn sample(agent: &mut Agent, started: Instant) -> Result<Sample, CliError> {
    let status = expect_response!(agent, Request::Status {}, Status);
    let counters = expect_response!(agent, Request::Counters {}, Counters);
    let history = expect_response!(agent, Request::History { limit: CHANGES }, History);
    Ok(Sample {
        history: history.entries,
        seconds: started.elapsed().as_secs_f64(),
        status: *status,
        counters,
    })
}

/// Takes in what has been logged meanwhile.
fn drain(app: &mut App, events: &Receiver<Fed>, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    loop {
        match events.try_recv() {
            Ok(Fed::Events(batch)) => app.log(seconds, batch),
            Ok(Fed::End(trouble)) => app.trouble = Some(trouble),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
        }
    }
}

fn picture(app: &App, output: &Output) -> Result<Exit, CliError> {
    if output.is_json() {
        output.print(&app.figures(), |_, _| String::new())?;
        return Ok(Exit::Done);
    }
    let mut terminal = match Terminal::new(TestBackend::new(PICTURE.0, PICTURE.1)) {
        Ok(terminal) => terminal,
        Err(never) => match never {},
    };
    match terminal.draw(|frame| view::draw(frame, app)) {
        Ok(_) => {}
        Err(never) => match never {},
    }
    write(&view::text(terminal.backend().buffer()))?;
    Ok(Exit::Done)
}

fn dashboard(
    terminal: &mut ratatui::DefaultTerminal,
    agent: &mut Agent,
    app: &mut App,
    events: &Receiver<Fed>,
    interval: Duration,
    started: Instant,
    is_over: impl Fn() -> bool,
) -> Result<(), CliError> {
    let mut looked = Instant::now();
    while !is_over() {
        terminal.draw(|frame| view::draw(frame, app))?;
        if event::poll(KEY_PATIENCE)?
            && let Event::Key(key) = event::read()?
        {
            match keys::press(app, key) {
                Wish::Quit => return Ok(()),
                Wish::Rule(name) => {
                    let request = Request::RuleShow { name };
                    // The rule may be gone, or be a default.
                    app.detail_text = match agent.ask(request) {
                        Ok(Response::Rule(rule)) => Some(rule.text),
                        _ => None,
                    };
                }
                Wish::Ban { address, seconds } => app.said = Some(ban(agent, address, seconds)),
                Wish::Nothing => {}
            }
        }
        drain(app, events, started);
        if looked.elapsed() >= interval && !app.is_paused {
            looked = Instant::now();
            match sample(agent, started) {
                Ok(sample) => app.take(sample),
                Err(error) => app.trouble = Some(error.to_string()),
            }
        }
    }
    Ok(())
}

/// Bans an address; returns what has come of it.
fn ban(agent: &mut Agent, address: String, seconds: Option<u64>) -> String {
    let request = Request::Ban(NewBan {
        addresses: vec![address],
        seconds,
        reason: Some(BAN_REASON.to_owned()),
    });
    match agent.ask(request) {
        Ok(Response::BansChanged(changed)) => {
            let mut said = changed.changes;
            said.extend(changed.remarks);
            if said.is_empty() {
                return "it was banned already".to_owned();
            }
            said.join("; ")
        }
        Ok(_) => CliError::UnexpectedReply.to_string(),
        Err(error) => format!("not banned: {error}"),
    }
}
