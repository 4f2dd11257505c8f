//! Secrets and the keys that seal them.

use serde_json::Value;

use crate::harness::Server;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_secret_is_set_read_and_kept_and_its_keys_are_rotated() {
    let mut server = Server::start();
    let before = server.ok(&["secrets", "status"]);
    assert!(before.contains("there are no data keys yet") && before.contains("master.key"), "{before}");
    server.fails(3, &["secrets", "rotate-master"]);
    server.ok(&["set", "payments/checkout", r#"db.password={"$secret":"hunter2"}"#, "db.port=1"]);
    let read = json(&server.ok(&["get", "payments/checkout", "--reveal"]));
    assert_eq!(read["db"]["password"], "hunter2");
    server.ok(&["set", "payments/checkout", "db.password=\"hunter3\""]);

    let status = json(&server.ok(&["secrets", "status", "-o", "json"]));
    let of_payments = &status["namespaces"][0];
    assert_eq!((&of_payments["namespace"], &of_payments["values"]), (&"payments".into(), &1.into()));
    let rotated = server.ok(&["secrets", "rotate-data", "payments"]);
    assert!(rotated.starts_with("new data key ") && rotated.contains("configs sealed by it: 1"), "{rotated}");
    let master = server.ok(&["secrets", "rotate-master"]);
    assert!(master.starts_with("new master key "), "{master}");
    let after = json(&server.ok(&["secrets", "status", "-o", "json"]));
    assert_eq!(after["namespaces"][0]["keys"].as_array().map(Vec::len), Some(2));
    assert_ne!(after["master_key_id"], status["master_key_id"]);
    assert!(server.ok(&["secrets", "status"]).contains("payments"));

    server.restart();
    let read = json(&server.ok(&["get", "payments/checkout", "--reveal"]));
    assert_eq!(read["db"]["password"], "hunter3");
}
