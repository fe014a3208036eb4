//! The flow tables, and the takeover of connections that are already open.

use std::{collections::HashMap, os::fd::AsFd, time::Duration};

use firewall_common::{
    abi::names,
    flow::{FlowKey, Found, NewFlow, Table},
};

use super::{
    admin::insert_flow,
    flow_map::Window,
    pins::file,
    routes::Routes,
    session::{Session, list_links},
    slots::settings,
    sockets::{Connection, connections},
};
use crate::dataplane::{
    Admission, DataplaneError, FlowTable, FlowView, SocketFlow, Takeover,
    flow_scan::{FlowContext, delete, scan, scan_ended},
    takeover::established,
};

impl Session {
    fn flow_context(&self) -> Result<FlowContext, DataplaneError> {
        Ok(FlowContext::of(&self.control(), self.clock()?))
    }

    pub(super) fn visit_flows(&self, visit: &mut dyn FnMut(&FlowView) -> bool) -> Result<(), DataplaneError> {
        self.scan_flows(&mut |view, _| visit(view))
    }

    /// Shows each live flow of both tables to `visit` until that returns false.
    fn scan_flows(&self, visit: &mut dyn FnMut(&FlowView, &Found<'_>) -> bool) -> Result<(), DataplaneError> {
        let context = self.flow_context()?;
        self.walk_flows(&mut |table, window| scan(table, window.iter(), &context, visit))
    }

    pub(super) fn visit_ended_flows(
        &self,
        within: Duration,
        visit: &mut dyn FnMut(&FlowView) -> bool,
    ) -> Result<(), DataplaneError> {
        let context = self.flow_context()?;
        self.walk_flows(&mut |table, window| scan_ended(table, window.iter(), &context, within, visit))
    }

    /// Shows all buckets of both tables to `walk` until that returns false.
    fn walk_flows(&self, walk: &mut dyn FnMut(FlowTable, &Window) -> bool) -> Result<(), DataplaneError> {
        for (table, flows, name) in [
            (FlowTable::Assured, &self.maps.flows, names::FLOWS),
            (FlowTable::Half, &self.maps.half_flows, names::HALF_FLOWS),
        ] {
            for window in flows.windows() {
                let window = window.map_err(file("map", &self.pins.path(name)))?;
                if !walk(table, &window) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    pub(super) fn delete_flows(
        &self,
        which: &mut dyn FnMut(&FlowView) -> bool,
    ) -> Result<u64, DataplaneError> {
        let mut deleted = 0;
        self.scan_flows(&mut |view, found| {
            deleted += u64::from(which(view) && found.delete());
            true
        })?;
        Ok(deleted)
    }

    pub(super) fn delete_flow(&self, key: &FlowKey) -> bool {
        let control = self.control();
        let assured = delete(&self.maps.flows.probe(), control.flow_mask, key, &control.seed);
        let half = delete(
            &self.maps.half_flows.probe(),
            control.half_flow_mask,
            key,
            &control.seed,
        );
        assured || half
    }

    pub(super) fn take_over(
        &self,
        slot: u8,
        interfaces: Option<&[u32]>,
        judge: &mut dyn FnMut(&SocketFlow) -> Option<Admission>,
    ) -> Result<Takeover, DataplaneError> {
        let epoch = settings(&self.control(), slot).epoch;
        let mut outcome = Takeover::default();
        for socket in open_connections(interfaces)? {
            outcome.seen += 1;
            let remote = socket.remote.ip();
            let is_refused = self.is_listed(slot, remote) || self.is_banned(remote)?;
            let allowed = judge(&socket).filter(|_| !is_refused);
            let Some(admission) = allowed else {
                outcome.denied += 1;
                continue;
            };
            let flow = established(&socket, admission, epoch, self.clock()?.now_ticks);
            if self.is_known(&flow)? {
                outcome.known += 1;
            } else if insert_flow(self.programs.admin.as_fd(), &flow, slot)? {
                outcome.entered += 1;
            } else {
                outcome.refused += 1;
            }
        }
        Ok(outcome)
    }

    /// Whether packets have opened the flow already, or a former takeover has entered it.
    fn is_known(&self, flow: &NewFlow) -> Result<bool, DataplaneError> {
        let context = self.flow_context()?;
        let control = self.control();
        let (words, hash) = (flow.key.words(), flow.key.hash(&control.seed));
        let assured = Table {
            buckets: &self.maps.flows.probe(),
            mask: control.flow_mask,
        };
        let found = assured.find(words, hash);
        Ok(found.is_some_and(|found| {
            !found
                .flow()
                .is_expired(context.clock.now_ticks, &context.timeouts)
        }))
    }
}

/// Connections that leave by an interface other than loopback.
pub(super) fn open_connections(interfaces: Option<&[u32]>) -> Result<Vec<SocketFlow>, DataplaneError> {
    let netlink = |action| move |source| DataplaneError::Netlink { action, source };
    let connections = connections().map_err(netlink("list sockets"))?;
    if connections.is_empty() {
        return Ok(Vec::new());
    }
    let links = list_links()?;
    let names: HashMap<u32, _> = links.iter().map(|link| (link.index, link)).collect();
    let mut routes = Routes::open().map_err(netlink("look up routes"))?;
    let mut sockets = Vec::new();
    for connection in connections {
        let index = routes.interface(connection.local.ip(), connection.remote.ip());
        let link = index.and_then(|index| names.get(&index));
        let is_wanted = interfaces.is_none_or(|wanted| index.is_some_and(|index| wanted.contains(&index)));
        if is_wanted && !link.is_some_and(|link| link.loopback) {
            sockets.push(socket_flow(&connection, link.map(|link| link.name.clone())));
        }
    }
    Ok(sockets)
}

const fn socket_flow(connection: &Connection, interface: Option<String>) -> SocketFlow {
    SocketFlow {
        protocol: connection.protocol,
        local: connection.local,
        remote: connection.remote,
        opened_by_remote: connection.opened_by_remote,
        fins: connection.fins,
        interface,
    }
}
