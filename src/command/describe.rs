//! What the binary tells of itself: completions and the man page.

use super::say;
use crate::config::command_line;
use clap_complete::Shell;

pub(super) fn completions(shell: Shell) -> Result<(), String> {
    // Into memory first: the generator does not survive a pipe that closes early.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command_line(), "messaging-api", &mut script);
    say::write(&script)
}

pub(super) fn man(command: Option<&str>) -> Result<(), String> {
    let mut line = command_line();
    line.build();
    let told = match command {
        None => line,
        Some(name) => line
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| format!("there is no command {name}; --help lists them"))?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(told)
        .render(&mut page)
        .map_err(|e| format!("cannot write the man page: {e}"))?;
    say::write(&page)
}
