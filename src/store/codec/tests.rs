use super::*;
use crate::model::text::Format;
use crate::model::{ConfigChange, LayerChange, Request, Source, TagChange, TagName, Version};

fn sample() -> Vec<Commit> {
    let id = config_id("payments", "checkout").expect("names");
    let first = Commit {
        revision: Revision(7),
        time: Timestamp(1_700_000_000_000_001),
        author: Author {
            actor: "user:alice".into(),
            credential: "token:8k2m4n6p8q0r".into(),
            address: "192.0.2.7".into(),
            call_id: "call-1".into(),
        },
        source: Source::Apply,
        reason: "more retries".into(),
        request: Some(Request { id: "r-1".into(), fingerprint: Digest::of(b"request") }),
        annotations: [("ticket".to_owned(), "OPS-1".to_owned())].into(),
        changes: vec![ConfigChange {
            id: id.clone(),
            version: Version(3),
            layers: vec![
                LayerChange {
                    key: layer_key(0, "/").expect("a key"),
                    content: Some(decode_content(r#"{"retries":3}"#)),
                    expires: None,
                    format: Some(Format::Yaml),
                },
                LayerChange {
                    key: layer_key(0, "/production").expect("a key"),
                    content: None,
                    expires: None,
                    format: None,
                },
                LayerChange {
                    key: layer_key(1, "/production").expect("a key"),
                    content: Some(decode_content(r#"{"é":null}"#)),
                    expires: Some(Timestamp(1_700_000_060_000_000)),
                    format: None,
                },
            ],
            tags: vec![],
            restored: Some(Version(1)),
        }],
        forgotten: vec![],
    };
    let second = Commit {
        revision: Revision(8),
        time: Timestamp(-1),
        author: Author::default(),
        source: Source::Tag,
        reason: String::new(),
        request: None,
        annotations: Default::default(),
        changes: vec![ConfigChange {
            id,
            version: Version(3),
            layers: vec![],
            tags: vec![
                TagChange {
                    tag: TagName::parse("old").expect("a tag"),
                    version: None,
                    previous: Some(Version(2)),
                },
                TagChange {
                    tag: TagName::parse("stable").expect("a tag"),
                    version: Some(Version(3)),
                    previous: None,
                },
            ],
            restored: None,
        }],
        forgotten: vec![],
    };
    vec![first, second]
}

/// What format 1 kept of the sample, by an alice who was not asked for more.
const STORED_1: &str = "\
    63776201000001486db7d803e74f1ffa7d8f5adc0bf95b3e15bf4c8373fffadf546227cc6c6742cb000000b1078280f2\
    818389850605616c696365010c6d6f726520726574726965730103722d311f58b9145b24d108d7ac38887338b3ea3229\
    833b9c1e418250343f907bfd104701067469636b6574054f50532d3101087061796d656e747308636865636b6f757403\
    0300012f010d7b2272657472696573223a337d000101000b2f70726f64756374696f6e000000010b2f70726f64756374\
    696f6e010b7b22c3a9223a6e756c6c7d01809c8ebb83898506000001016f7dc7e60606cceaaece8cc481fc4d25603c6b\
    4b51bb3e79a4246a5049f600d40000002f0801000500000001087061796d656e747308636865636b6f7574030002036f\
    6c6400010206737461626c65010300006112ddc854b7300979486ae469c04897ab32b0493e546ab4bb8870626097a5c1\
";

/// The sample in format 2.
const STORED_2: &str = "\
    63776202000001746db7d803e74f1ffa7d8f5adc0bf95b3e15bf4c8373fffadf546227cc6c6742cb000000da078280f2\
    81838985060a757365723a616c696365010c6d6f726520726574726965730103722d311f58b9145b24d108d7ac388873\
    38b3ea3229833b9c1e418250343f907bfd104701067469636b6574054f50532d3101087061796d656e74730863686563\
    6b6f7574030300012f010d7b2272657472696573223a337d000101000b2f70726f64756374696f6e000000010b2f7072\
    6f64756374696f6e010b7b22c3a9223a6e756c6c7d01809c8ebb838985060000010112746f6b656e3a386b326d346e36\
    7038713072093139322e302e322e370663616c6c2d3153381a25b9b0541a422422100acaddebca11568d499b59e4eced\
    dfb74bad4574000000320801000500000001087061796d656e747308636865636b6f7574030002036f6c640001020673\
    7461626c6501030000000000ee8c75e7fdaa449f6427e8201692baed6af17bc770c9ed3e1117980997a855b3\
";

/// The sample in format 3, as a program in another language made it of the description.
const STORED_3: &str = "\
    63776203000001d46db7d803e74f1ffa7d8f5adc0bf95b3e15bf4c8373fffadf546227cc6c6742cb0000010a01010870\
    61796d656e747308636865636b6f7574030300012f010d7b2272657472696573223a337d000101000b2f70726f647563\
    74696f6e000000010b2f70726f64756374696f6e010b7b22c3a9223a6e756c6c7d01809c8ebb83898506000001010782\
    80f281838985060a757365723a616c696365010c6d6f726520726574726965730103722d311f58b9145b24d108d7ac38\
    887338b3ea3229833b9c1e418250343f907bfd104701067469636b6574054f50532d3112746f6b656e3a386b326d346e\
    367038713072093139322e302e322e370663616c6c2d3101087061796d656e74736142f36217f40ce341a8739246faa2\
    a0d9ccdbd2363293ce0311b6554b8ac7e006000000a4fc61c280337642d82207e3ecccbab8685bea55ec710bafdbe284\
    95c477a75351000000620101087061796d656e747308636865636b6f7574030002036f6c6400010206737461626c6501\
    0300000801000500000000000001087061796d656e74732814330030e3dbb484c77c6f704aad3c258dbe113364d26c2b\
    e59b25b1cc42832f0000003514a774bcb55d720c4868af6bb05e592312550e21f90329c36fa6db4442bdd488\
";

fn read(stored: &str) -> Vec<Sealed> {
    let (previous, commits) = decode_batch(&hex::decode(stored).expect("hex")).expect("it is read");
    assert_eq!(previous, Digest::of(b"before"));
    commits.into_iter().map(|located| located.sealed).collect()
}

#[test]
fn the_stored_form_is_what_it_was() {
    let (batch, _) = encode_batch(CommitFormat::default(), Digest::of(b"before"), &sample());
    assert_eq!(hex::encode(&batch), STORED_3, "a change of the stored form needs a new format number");
    let commits: Vec<Commit> = read(STORED_3).into_iter().map(|sealed| sealed.commit).collect();
    assert_eq!(commits, sample());
}

#[test]
fn commits_of_earlier_formats_are_read_and_their_chain_is_proved() {
    let mut first = sample();
    first[0].author = Author::named("alice");
    for (stored, format, expected) in
        [(STORED_1, CommitFormat::WithoutAuthor, first), (STORED_2, CommitFormat::WithAuthor, sample())]
    {
        let (mut previous, sealed) = (Digest::of(b"before"), read(stored));
        let (batch, _) = encode_batch(format, previous, &expected);
        assert_eq!(hex::encode(batch), stored);
        for (sealed, expected) in sealed.into_iter().zip(expected) {
            assert_eq!(sealed.commit, expected);
            assert!(hashes(previous, &sealed.commit).any(|hash| hash == sealed.hash));
            assert_eq!(commit_format(previous, &sealed), Some(format));
            previous = sealed.hash;
        }
    }
}

#[test]
fn the_stored_form_is_read_where_it_lies() {
    let (batch, hash) = encode_batch(CommitFormat::default(), Digest::of(b"before"), &sample());
    let stored = stored_batch(&batch).expect("a batch");
    assert_eq!((stored.previous, stored.hash), (Digest::of(b"before"), hash));
    let layers = &stored.commits[0].changes[0].layers;
    let contents: Vec<Option<&str>> = layers.iter().map(|layer| layer.content).collect();
    assert_eq!(contents, [Some(r#"{"retries":3}"#), None, Some(r#"{"é":null}"#)]);
    let content = contents[0].expect("it has one").as_bytes();
    assert!(batch.as_ptr_range().contains(&content.as_ptr()), "nothing is copied");
    let (_, commits) = decode_batch(&batch).expect("a batch");
    assert_eq!(commits[1].sealed.hash, hash);
    assert_eq!(encode_commit(&commits[0].sealed.commit).len(), commits[0].bytes);
}

#[test]
fn every_flipped_bit_and_every_missing_end_is_noticed() {
    let (batch, _) = encode_batch(CommitFormat::default(), Digest::ZERO, &sample());
    for bit in 0..batch.len() * 8 {
        let mut wrong = batch.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_batch(&wrong).is_err(), "bit {bit}");
    }
    // Also not as one of another format, or of another length.
    for (byte, mask) in (0..HEADER_BYTES).flat_map(|byte| (1..=255).map(move |mask| (byte, mask))) {
        let mut wrong = batch.clone();
        wrong[byte] ^= mask;
        assert!(decode_batch(&wrong).is_err(), "byte {byte} by {mask}");
    }
    for length in 0..batch.len() {
        assert!(decode_batch(&batch[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn a_newer_format_is_named() {
    let (mut batch, _) = encode_batch(CommitFormat::default(), Digest::ZERO, &sample());
    batch[3] = 4;
    assert_eq!(decode_batch(&batch).expect_err("refused"), DecodeError::Format(4));
}
