//! The table of all settings in docs/operations.md. Knows the declarations, and Markdown.

use clap::{Args, Command};

use super::declared::ServeArgs;
use super::master_key;

const HEAD: &str = "| flag | environment | default | range | |\n| --- | --- | --- | --- | --- |\n";

/// The table in Markdown, with a row for each setting.
pub fn table() -> String {
    let declared = ServeArgs::declared();
    let command = ServeArgs::augment_args(Command::new("serve"));
    let rows = command.get_arguments().map(|arg| {
        let setting = declared.iter().find(|setting| setting.name == arg.get_id().as_str());
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let code = |text: String| format!("`{text}`");
        let default = setting.and_then(|setting| setting.default.map(str::to_owned).map(code));
        let without = setting.and_then(|setting| setting.without);
        let text = match setting {
            Some(setting) => {
                [Some(setting.help), setting.details].into_iter().flatten().collect::<Vec<_>>().join(". ")
            }
            None => help,
        };
        row([
            &code(format!("--{}", arg.get_long().unwrap_or_default())),
            &code(arg.get_env().unwrap_or_default().to_string_lossy().into_owned()),
            default.as_deref().or(without).unwrap_or("none"),
            setting.and_then(|setting| setting.range.as_deref()).unwrap_or_default(),
            &text,
        ])
    });
    let variable = format!("`{}`", master_key::VARIABLE);
    let master_key =
        row(["none", &variable, "none", "", "Seal secrets under this master key, in hex or base64"]);
    HEAD.chars().chain(rows.collect::<String>().chars()).chain(master_key.chars()).collect()
}

fn row(cells: [&str; 5]) -> String {
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}
