//! The classifier against an oracle that shares no look-up code with it: the naive evaluator, which tries the rules one
//! by one. Random policies of adversarial shapes, random packets on and beside the edges of their rules.
//!
//! The look-up is compared by itself, as part of the whole path in memory, and as part of the programs in the kernel,
//! which needs root. That the comparison can fail is shown by the same comparison on images of slightly different policies.

mod compare;
mod explain;
mod generate;
mod large;

use std::{env, thread};

use firewall_agent::policy::model::{Rule, ValidPolicy};
use firewall_tests::random::{Random, seed};

use compare::{Subject, Tally};
use generate::policy;

/// Sets the packets of the comparison of look-ups, for longer runs; large sets get more in proportion.
const PACKETS_ENV: &str = "FIREWALL_ORACLE_PACKETS";
/// Packets of the comparison of look-ups, in all.
const PACKETS: usize = 1_200_000;
/// Frames of the comparison of the whole path, in all.
const FRAMES: usize = 100_000;
/// Policies that are put in force in the kernel, and frames for each: nearly all of the time goes into switching.
const KERNEL_POLICIES: usize = 200;
const KERNEL_FRAMES: usize = 100;
/// What one policy may cost: packets times rules.
const WORK: usize = 400_000;

/// As [`PACKETS`], or what the environment says.
fn packets() -> usize {
    let given = env::var(PACKETS_ENV).ok();
    given.map_or(PACKETS, |text| text.parse().expect("a number of packets"))
}

/// Compares random policies until `packets` have been judged.
fn run(seed: u64, packets: usize, judge: fn(&Subject, &mut Random) -> Result<Tally, String>) -> Tally {
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    while tally.packets < packets {
        // Sizes are spread evenly over the orders of magnitude from 1 to 1000.
        let size = (1 << random.below(10)) + random.below(489);
        let size = if random.percent(70) { size % 40 + 1 } else { size };
        let mut policy = policy(&mut random, size);
        if random.percent(40) {
            generate::limit(&mut policy, &mut random);
        }
        let subject = Subject::new(policy);
        for _ in 0..(WORK / size).clamp(500, 20_000) {
            match judge(&subject, &mut random) {
                Ok(one) => tally.add(one),
                Err(mismatch) => panic!("seed {seed}, a policy of {size} rules: {mismatch}"),
            }
        }
    }
    tally
}

/// On as many threads as the machine has cores, each with its own seeds.
fn run_parallel(packets: usize, judge: fn(&Subject, &mut Random) -> Result<Tally, String>) -> Tally {
    let seed = seed();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = packets.div_ceil(threads);
    let workers: Vec<_> = (0..threads as u64)
        .map(|number| thread::spawn(move || run(seed.wrapping_add(number), share, judge)))
        .collect();
    let mut tally = Tally::default();
    for worker in workers {
        tally.add(worker.join().expect("the comparison holds"));
    }
    println!("{tally:?}");
    tally
}

#[test]
fn s70_look_up_equals_the_naive_evaluator() {
    let packets = packets();
    let tally = run_parallel(packets, Subject::look_up);
    assert!(tally.packets >= packets);
    // The packets are no good if nearly all fall through to the default, or all into the first rule.
    assert!(tally.by_rule * 4 > tally.packets, "{tally:?}");
    assert!(tally.by_default * 20 > tally.packets, "{tally:?}");
    assert!(tally.by_later_rule * 10 > tally.packets, "{tally:?}");
    assert!(tally.by_compact_form * 50 > tally.packets, "{tally:?}");
}

#[test]
fn s70_frames_through_the_whole_path_equal_the_naive_evaluator() {
    let tally = run_parallel(FRAMES, Subject::frame);
    assert!(tally.packets >= FRAMES);
    assert!(tally.by_rule * 10 > tally.packets, "{tally:?}");
}

#[test]
fn s70_frames_through_the_programs_in_the_kernel_equal_the_naive_evaluator() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    for number in 0..KERNEL_POLICIES {
        // A few large ones, for which a slot gets a larger map and other programs.
        let size = if number % 50 == 49 {
            200 + random.below(800)
        } else {
            1 + random.below(40)
        };
        let mut policy = policy(&mut random, size);
        if random.percent(40) {
            generate::limit(&mut policy, &mut random);
        }
        let subject = Subject::new(policy);
        let kernel = subject.in_kernel();
        for _ in 0..KERNEL_FRAMES {
            match subject.frame_in_kernel(&kernel, &mut random) {
                Ok(one) => tally.add(one),
                Err(mismatch) => panic!("seed {seed}, a policy of {size} rules: {mismatch}"),
            }
        }
    }
    println!("{tally:?}");
    assert!(tally.packets > KERNEL_POLICIES * KERNEL_FRAMES / 3, "{tally:?}");
    assert!(tally.by_rule * 10 > tally.packets, "{tally:?}");
    assert!(tally.by_later_rule * 20 > tally.packets, "{tally:?}");
}

/// The policy with one edge of one range moved by one, or another small change that a faulty compiler could make.
fn damaged(policy: &ValidPolicy, random: &mut Random) -> ValidPolicy {
    let mut damaged = policy.clone();
    let place = random.below(damaged.rules.len());
    loop {
        let rule: &mut Rule = &mut damaged.rules[place];
        if generate::damage(rule, random) {
            break;
        }
    }
    damaged
}

#[test]
fn the_comparison_can_fail() {
    let seed = seed();
    let mut random = Random::new(seed);
    let (mut found, mut tried) = (0, 0);
    while tried < 200 {
        let policy = policy(&mut random, 1 + tried % 5);
        let damaged = damaged(&policy, &mut random);
        if damaged == policy {
            continue;
        }
        tried += 1;
        let subject = Subject::with_image_of(policy, &damaged);
        found += usize::from((0..3000).any(|_| subject.look_up(&mut random).is_err()));
    }
    // The others are changes of what an earlier rule hides.
    println!("{found} of {tried} damaged images found");
    assert!(
        found * 10 > tried * 6,
        "seed {seed}: only {found} of {tried} damaged images found"
    );
}
