use super::*;
#[test]
fn probe() {
    let t = |name: &str, f: Format, s: &str| {
        let at = std::time::Instant::now();
        let r = parse(s, f, 1 << 20);
        let mut o = format!("{:?}", r.map(|v| to_canonical(&v)));
        if o.len() > 300 {
            o = o.chars().take(300).collect();
        }
        println!("{name} {f:?} {:?}: {o}", at.elapsed());
    };
    let y = Format::Yaml;
    for s in [
        "",
        "# c\n",
        "---\n",
        "010",
        "1:\n  a",
        "~: 1",
        "null: 1",
        "true: 1",
        "a: yes",
        "a: True",
        "a: tRuE",
        "a: .nan",
        "a: -.inf",
        "a: 1e999",
        "a: 1\na: 2",
        "b:\n  a: 1\n  'a': 2",
        "1: a\n'1': b",
        "a: 1\n---\nb: 2",
        "a: 1\n...\n",
        "---\na: 1\n---\n",
        "a: &x {b: 1}\nc:\n  <<: *x\n  d: 2",
        "a: !!binary aGk=",
        "a: !foo 1",
        "a: !!str 1",
        "? [a]\n: 1",
        "? {a: 1}\n: 1",
        "a: [1,",
        "a: b: c",
        "\ta: 1",
        "a: 18446744073709551616",
        "a: 18446744073709551615",
        "a: -9223372036854775809",
        "a: 0x1F",
        "a: 0o17",
        "a: 1_000",
        "a: +5",
        "a: 12:30:45",
        "a: 2026-01-01",
        "a: *x",
        "a: &a [*a]",
        "%YAML 1.1\n---\na: yes",
        "a: !!int '5'",
        "a: 1.",
        "a: -0",
        "a: -010",
        "a: 1e3",
        "a: ...",
        "&a a: 1",
        "a: |\n  x\n  y\n",
        "\u{feff}a: 1",
    ] {
        t(s, y, s);
    }
    let deep = |n| format!("{}{}", "[".repeat(n), "]".repeat(n));
    for f in [Format::Json, y] {
        for n in [64, 65, 100, 300, 100_000] {
            t(&format!("deep{n}"), f, &deep(n));
        }
        t("open", f, &"[".repeat(100_000));
        t("{", f, &"{\"a\":".repeat(100_000));
    }
    t("- - -", y, &"- ".repeat(100_000));
    t("? ? ", y, &"? ".repeat(100_000));
    t("map", y, &(0..1000).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>());
    let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 0..9 {
        let (p, c) = ((b'a' + i) as char, (b'b' + i) as char);
        bomb += &format!("{c}: &{c} [{}]\n", vec![format!("*{p}"); 9].join(","));
    }
    t("bomb", y, &bomb);
    t("bomb2", y, &format!("a: &a {}\nb:\n{}", "x".repeat(100_000), "- *a\n".repeat(150_000)));
    t("manyalias", y, &format!("a: &a [1,2]\nb:\n{}", "- *a\n".repeat(20_000)));
    t("manynull", y, &format!("[{}]", "0,".repeat(500_000)));
    t("manyanchors", y, &(0..40_000).map(|n| format!("- &a{n} x\n")).collect::<String>());
    t(
        "nestedanchors",
        y,
        &(0..60).map(|n| format!("{}a{n}: &a{n}\n", " ".repeat(n))).collect::<String>().add_x(),
    );
    t("longkey", y, &format!("{}: 1", "k".repeat(500_000)));
    t("longkeyflow", y, &format!("{{{}", "k".repeat(500_000)));
    t("flow no colon", y, &format!("[{}]", "k ".repeat(400_000)));
    t("flow many", y, &format!("[{}]", "\"k\",\n".repeat(200_000)));
    t("comments", y, &"#\n".repeat(400_000));
    t("docs", y, &"---\n".repeat(200_000));
    t("bigmap", y, &(0..60_000).map(|n| format!("k{n}: {n}\n")).collect::<String>());
    let f = Format::Toml;
    for s in [
        "",
        "a = 1\na = 2",
        "[a]\nb = 1\n[a]\nc=1",
        "a.b = 1\na.b.c = 2",
        "a = nan",
        "a = -inf",
        "a = 1e999",
        "a = 9223372036854775808",
        "a = 0xffffffffffffffff",
        "a = 1979-05-27T07:32:00Z",
        "a = 07:32:00",
        "a = 1979-05-27",
        "a = 1979-05-27 07:32:00.5+01:00",
        "a = ",
        "a = [1,\n 2,\n nan]",
        "[[a]]\nb=1\n[[a]]\nb=inf",
        "a = {b = 1, b = 2}",
        "a = +1_000",
        "a = 0b11",
        "a = -0.0",
    ] {
        t(s, f, s);
    }
    for n in [63, 64, 65, 79, 80, 81, 100_000] {
        t(&format!("arr{n}"), f, &format!("a = {}", deep(n)));
        t(&format!("dot{n}"), f, &format!("{}a = 1", "a.".repeat(n)));
        t(&format!("hdr{n}"), f, &format!("[{}a]\nb = 1", "a.".repeat(n)));
        t(&format!("inl{n}"), f, &format!("a = {}1{}", "{a=".repeat(n), "}".repeat(n)));
    }
    t("open", f, &format!("a = {}", "[".repeat(100_000)));
    let k = "a.".repeat(78) + "a";
    t("dotinline", f, &format!("[{k}]\n{k} = {}1{}", format!("{{{k} = ").repeat(78), "}".repeat(78)));
    t("big", f, &(0..60_000).map(|n| format!("k{n} = {n}\n")).collect::<String>());
    t("tables", f, &(0..30_000).map(|n| format!("[k{n}]\nb = {n}\n")).collect::<String>());
    for s in [
        "",
        "{",
        "{\"a\":1,\"a\":2}",
        "{\"b\":[{\"a\":1,\"a\":2}]}",
        "NaN",
        "1e400",
        "{\"a\":[1,1e400]}",
        "-1e400",
        "123456789012345678901234567890",
        "{\"a\":1}x",
        "\"\\ud800\"",
        "[1,]",
        "\u{feff}{}",
        "01",
        "{\"a\": Infinity}",
        "\"\u{1}\"",
        "1e-400",
        "1.0",
        "{'a':1}",
    ] {
        t(s, Format::Json, s);
    }
    t("num", Format::Json, &"9".repeat(1_000_000));
}
trait X {
    fn add_x(self) -> String;
}
impl X for String {
    fn add_x(self) -> String {
        self + &format!("{}z: [{}]", " ".repeat(60), "1,".repeat(100_000))
    }
}
