//! Merges the settings of the layers: what a later layer sets takes the place of what an earlier one set.

use super::{
    link::LinkedLayer,
    model::{Action, AddressSet, Defaults, Forwarded, PolicySettings, Timers},
    syntax::{Located, Member, SettingsEntry, Timer},
    view::View,
};
use crate::diagnostic::{Code, Diagnostic, Place};

/// Where nobody says otherwise: silent to the outside, plain to the host's own programs.
const DEFAULTS: Defaults = Defaults {
    input: Action::Drop,
    output: Action::Reject,
    forward: Action::Drop,
};

/// The settings in force for one host.
pub(super) fn merged(
    layers: &[&LinkedLayer],
    view: &View<'_>,
    found: &mut Vec<Diagnostic>,
) -> PolicySettings {
    let mut settings = PolicySettings {
        defaults: DEFAULTS,
        timers: Timers::default(),
        interfaces: Vec::new(),
        forwarded: Forwarded::default(),
        tcp_midflow_pickup: false,
        keep_live_flows: false,
        allow_icmp_redirects: false,
        allow_source_routing: false,
        allowed_ether_types: Vec::new(),
    };
    for layer in layers {
        apply(&layer.settings, view, &mut settings, found);
    }
    let said = layers.iter().any(|layer| layer.settings.interfaces.is_some());
    found.extend(
        layers
            .first()
            .filter(|_| !said)
            .map(|first| no_interfaces(&first.header)),
    );
    settings
}

fn apply(entry: &SettingsEntry, view: &View<'_>, settings: &mut PolicySettings, found: &mut Vec<Diagnostic>) {
    if let Some(globs) = &entry.interfaces {
        settings.interfaces = globs.iter().map(|glob| glob.value.to_string()).collect();
    }
    let defaults = &mut settings.defaults;
    for (set, current, direction) in [
        (&entry.incoming, &mut defaults.input, "incoming"),
        (&entry.outgoing, &mut defaults.output, "outgoing"),
        (&entry.forwarded, &mut defaults.forward, "forwarded"),
    ] {
        if let Some(set) = set {
            *current = set.value;
            found.extend((set.value == Action::Allow).then(|| open_default(direction, &set.place)));
        }
    }
    for (timer, seconds) in &entry.timers {
        *(timer.field)(&mut settings.timers) = seconds.value;
        found.extend(below_floor(timer, seconds));
    }
    for (switch, on) in &entry.switches {
        *(switch.field)(settings) = *on;
    }
    if let Some(types) = &entry.allowed_ether_types {
        settings.allowed_ether_types.clone_from(types);
    }
    if let Some(networks) = &entry.forwarded_networks {
        settings.forwarded.networks = forwarded(networks, view, found);
    }
    if let Some(globs) = &entry.forwarded_interfaces {
        settings.forwarded.interfaces = globs.iter().map(|glob| glob.value.to_string()).collect();
    }
}

fn forwarded(members: &[Located<Member>], view: &View<'_>, found: &mut Vec<Diagnostic>) -> AddressSet {
    let networks: AddressSet = members
        .iter()
        .map(|member| view.addresses_of(&member.value))
        .collect();
    let own = view
        .host
        .map(|host| networks.intersection(&host.own))
        .unwrap_or_default();
    if let (false, Some(first)) = (own.is_empty(), members.first()) {
        found.push(
            Diagnostic::new(
                Code::Contradiction,
                &first.place,
                "an address of the host itself is declared as forwarded",
            )
            .hint("forwarded networks lie behind the host; its own addresses are judged as incoming"),
        );
    }
    networks
}

fn no_interfaces(header: &Place) -> Diagnostic {
    Diagnostic::new(
        Code::MissingKey,
        header,
        "no layer says which interfaces are filtered",
    )
    .hint("say it in the base layer, such as `interfaces = [\"eth*\", \"en*\"]`")
}

fn open_default(direction: &str, place: &Place) -> Diagnostic {
    Diagnostic::new(
        Code::OpenDefault,
        place,
        format!("{direction} traffic that no rule names is allowed"),
    )
    .hint("write \"drop\" or \"reject\" and name in rules what is allowed")
}

fn below_floor(timer: &Timer, seconds: &Located<u32>) -> Option<Diagnostic> {
    let (floor, standard) = timer.floor?;
    (seconds.value < floor).then(|| {
        Diagnostic::new(
            Code::TimerBelowFloor,
            &seconds.place,
            format!(
                "`{}` is {} s, less than the {floor} s of {standard}",
                timer.key, seconds.value
            ),
        )
        .hint("idle connections of well-behaved peers will be cut")
    })
}
