//! What it costs to lay a policy out as an image.

use criterion::{Criterion, criterion_group, criterion_main};
use firewall_agent::compile::compile;
use firewall_common::address::Family;
use firewall_tests::rule_sets::{Shape, policy, rules};

const SEED: u64 = 1;

fn images(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("image");
    group.sample_size(10);
    for (shape, family, count) in [
        (Shape::Acl, Family::V4, 100),
        (Shape::Acl, Family::V4, 10_000),
        (Shape::Fw, Family::V4, 10_000),
        (Shape::Ipc, Family::V6, 10_000),
        (Shape::Acl, Family::V4, 50_000),
    ] {
        if cfg!(debug_assertions) && count > 1000 {
            continue;
        }
        let policy = policy(rules(shape, family, count, SEED));
        let blocks = compile(&policy).expect("it fits").blocks().len();
        let name = format!("{shape}, {family:?}, {count} rules ({} KiB)", blocks / 16);
        group.bench_function(name, |bencher| {
            bencher.iter(|| compile(&policy).expect("it fits"));
        });
    }
    group.finish();
}

criterion_group!(benches, images);
criterion_main!(benches);
