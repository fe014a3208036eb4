//! What it costs on the host to read packets, and policies.

use std::hint::black_box;

use bytemuck::Zeroable;
use criterion::{Criterion, criterion_group, criterion_main};
use firewall_agent::{
    diagnostic::{SourceFile, SourceSet},
    policy::{Options, Scope, Target, check},
};
use firewall_common::{
    address::Family,
    counters::Hook,
    headers::{self, Headers},
    interface::LinkType,
    plain::Plain,
    wire::tcp::ACK,
};
use firewall_tests::{
    frames::{Packet, Segment},
    host::{end, nets},
    rule_sets::{Shape, rules_of_file, text},
};

fn packets(criterion: &mut Criterion) {
    for net in nets() {
        let family = if net.server.is_ipv4() { "IPv4" } else { "IPv6" };
        let packet = Packet::tcp(end(net.client, 40_000), end(net.server, 443), &Segment::new(ACK));
        let frame = packet.frame();
        criterion.bench_function(&format!("{family} packet, plain"), |bencher| {
            bencher.iter(|| Plain::read(&black_box(&*frame), Hook::Ingress));
        });
        let tagged = packet.tagged(&[10]);
        criterion.bench_function(&format!("{family} packet, tagged"), |bencher| {
            let mut read = Headers::zeroed();
            bencher.iter(|| {
                read.clear(0);
                headers::parse_into(&black_box(&*tagged), LinkType::Ethernet, &mut read)
            });
        });
    }
}

fn policies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("policy");
    group.sample_size(10);
    for count in [100, if cfg!(debug_assertions) { 200 } else { 10_000 }] {
        let rules = text(&rules_of_file(Shape::Acl, Family::V4, count, 1));
        let file = format!(
            "layer = \"role bench\"\ninterfaces = [\"*\"]\n[defaults]\nincoming = \"drop\"\noutgoing = \"drop\"\nforwarded = \"drop\"\n{rules}"
        );
        let options = Options {
            scope: Scope::One(Target {
                role: Some("bench".into()),
                host: None,
            }),
            ..Options::default()
        };
        group.bench_function(format!("{count} rules"), |bencher| {
            bencher.iter(|| {
                let mut sources = SourceSet::new();
                sources.add(SourceFile::new("bench.toml", file.clone()));
                let checked = check(sources, &options);
                assert!(!checked.has_errors());
                checked.policies.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, packets, policies);
criterion_main!(benches);
