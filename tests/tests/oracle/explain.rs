//! Explanations: the answer of the verdict path and the rules one by one, which have to say the same.

use std::{collections::BTreeMap, sync::Arc};

use firewall_agent::{
    compile::compile,
    engine::Sizes,
    policy::{
        list::parse,
        model::{BlockList, Failsafe, Forwarded, Origin, ValidPolicy},
    },
    trial::{Question, Subject, Surroundings, explain},
};
use firewall_common::counters::DEFAULT_COUNTERS;
use firewall_tests::random::{Random, seed};

use super::{compare, damaged, generate::policy};

const POLICIES: usize = 80;
const PACKETS: usize = 50;

/// Each packet has tables of its own, so they are small.
const SIZES: Sizes = Sizes {
    buckets: 16,
    list_blocks: 512,
};

/// A random policy with a failsafe, a block list and forwarded networks, of the addresses that its rules speak of.
fn whole_policy(random: &mut Random) -> ValidPolicy {
    let size = 1 + random.below(20);
    let mut policy = policy(random, size);
    let sets: Vec<_> = policy
        .rules
        .iter()
        .filter_map(|rule| rule.matches.source.clone())
        .collect();
    if sets.is_empty() {
        return policy;
    }
    policy.failsafe = Failsafe {
        management_sources: random.pick(&sets).clone(),
        management_ports: vec![22, 443],
        resolvers: random.pick(&sets).clone(),
    };
    if random.percent(20) {
        policy.settings.forwarded = Forwarded {
            networks: random.pick(&sets).clone(),
            interfaces: vec!["br-*".to_owned()],
        };
    }
    if let Some(range) = random.pick(&sets).v4.first().filter(|_| random.percent(30)) {
        let [first, last] = [range.start(), range.end()].map(|end| std::net::Ipv4Addr::from_bits(*end));
        policy.lists.push(BlockList {
            name: "drop".into(),
            origin: Origin {
                file: "random.toml".into(),
                line: 1,
                span: 0..0,
            },
            file: "drop.txt".into(),
            entries: Arc::new(parse(&format!("{first}-{last}\n")).expect("a range")),
        });
    }
    policy
}

fn questions(random: &mut Random, policy: &ValidPolicy) -> Vec<Question> {
    let shape = compare::Subject::new(policy.clone());
    (0..PACKETS).filter_map(|_| shape.question(random)).collect()
}

#[test]
fn an_explanation_says_what_the_verdict_path_says() {
    let seed = seed();
    let mut random = Random::new(seed);
    let (mut asked, mut by_rule) = (0, 0);
    for _ in 0..POLICIES {
        let policy = whole_policy(&mut random);
        let mut subjects = BTreeMap::new();
        for question in questions(&mut random, &policy) {
            let interface = question.interface.as_deref();
            let subject = subjects.entry(question.interface.clone()).or_insert_with(|| {
                Subject::of_policy(policy.clone(), interface, SIZES).expect("it compiles")
            });
            subject.engine.forget();
            let explanation = explain(subject, "random", &question, &Surroundings::default());
            assert_eq!(explanation.disagreement, None, "seed {seed}: {explanation:#?}");
            let last = explanation.steps.last().expect("there are steps");
            assert!(last.decides, "seed {seed}: {explanation:#?}");
            if let (Some(tried), Some(_)) = (explanation.rules.last(), &explanation.origin) {
                assert_eq!(Some(&tried.rule), explanation.rule.as_ref());
                assert!(tried.unmet.is_empty());
                by_rule += 1;
            }
            asked += 1;
        }
    }
    println!("{asked} packets, {by_rule} decided by a rule");
    assert!(
        asked > POLICIES * PACKETS / 2 && by_rule * 10 > asked,
        "{asked} {by_rule}"
    );
}

/// A policy whose image is that of another one, as a faulty compiler would make it.
#[test]
fn a_disagreement_is_shown() {
    let seed = seed();
    let mut random = Random::new(seed);
    let (mut found, mut tried) = (0, 0);
    while tried < 60 {
        let size = 1 + tried % 5;
        let policy = policy(&mut random, size);
        let other = damaged(&policy, &mut random);
        if other == policy {
            continue;
        }
        tried += 1;
        let compiled = compile(&other).expect("compiles");
        let ordinal = |name: &str| {
            let mut rules = compiled.rules().iter();
            rules
                .find(|rule| *rule.name == *name)
                .expect("one of them")
                .ordinal
        };
        let bound = compiled.bind(&ordinal, []).expect("no slots");
        let numbers: Vec<u16> = (DEFAULT_COUNTERS..).take(policy.rules.len()).collect();
        let shape = compare::Subject::new(policy.clone());
        let mut subject = Subject::of_image(policy.clone(), &numbers, bound.blocks(), SIZES);
        let differs = (0..1000)
            .filter_map(|_| shape.question(&mut random))
            .any(|mut question| {
                question.interface = None;
                subject.engine.forget();
                let explanation = explain(&subject, "damaged", &question, &Surroundings::default());
                explanation.disagreement.is_some()
            });
        found += usize::from(differs);
    }
    println!("{found} of {tried} damaged images found");
    assert!(found * 3 > tried, "seed {seed}: only {found} of {tried}");
}
