//! Parser of the whole command line: the commands and the settings. Every command takes settings before
//! and after its name.

use super::{
    Config,
    environment::{Environment, Variable},
    spelling::looks_like,
};
use clap::{
    Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::Resettable,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};
use clap_complete::Shell;
use std::{env, ffi::OsString, path::PathBuf};

/// Prefixes of the ids of settings that commands on the database use. The help of such a command hides all
/// other settings.
const DATABASE_PREFIXES: &[&str] = &["database_", "db_", "log"];
/// Ids of settings with one of these prefixes that only a server uses.
const SERVER_ONLY: &[&str] = &["db_connections"];

/// Command of the binary. `Serve` is the default.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum CliCommand {
    /// Run the server until SIGTERM, SIGINT or SIGHUP; this is the default command
    Serve,

    /// Update the tables to this version, as a server does at startup, and exit
    Migrate,

    /// Check the settings and the database without changing them, and print the findings; exit code 1 if
    /// there is an error
    Check,

    /// Write all stored data as JSON lines from one consistent snapshot; a server may be running
    Export(Export),

    /// Load an export into an empty database, Postgres or SQLite; an error leaves the database empty
    Import(Archive),

    /// Start a new epoch of the log, after a restore from a backup that the server cannot detect. Clients
    /// then load their chats again and drop messages that no longer exist
    NewEpoch,

    /// Create a user; the password is prompted for, or read from standard input
    CreateUser(Account),

    /// Set a new password for a user and end the user's sessions; the password is prompted for, or read
    /// from standard input
    ResetPassword(Account),

    /// Make a user an admin of a chat, and add the user to the chat if necessary
    MakeAdmin(Appointment),

    /// Print the completion script for a shell
    Completions {
        /// Shell to complete for
        shell: Shell,
    },

    /// Print the man page of messaging-api or of one command
    Man {
        /// Name of the command. Default: none, the main page is printed
        command: Option<String>,
    },
}

/// Arguments of `export`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Output file.
    #[command(flatten)]
    pub archive: Archive,

    /// Time limit, in seconds from 1 to 86400, without progress of the reader of a pipe or terminal, after
    /// which the export fails; a running export keeps the database from removing old rows
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u32).range(1..=86400))]
    pub stall_seconds: u32,
}

/// File argument of `export` and `import`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// File to write or read; "-" or no file means standard output or standard input
    pub file: Option<PathBuf>,
}

/// User that `create-user` or `reset-password` acts on.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Name of the user
    pub name: String,
}

/// Arguments of `make-admin`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Appointment {
    /// Id of the chat
    pub chat: String,

    /// Name or id of the user
    pub user: String,
}

#[derive(Parser)]
#[command(name = "messaging-api", version)]
struct CommandLine {
    #[command(flatten)]
    config: Config,

    #[command(subcommand)]
    command: Option<CliCommand>,
}

/// Returns the definition of the command line. The completion scripts and the man pages use it too.
#[must_use]
pub fn command_line() -> clap::Command {
    let config = Config::command();
    let settings: Vec<clap::Arg> = config.get_arguments().cloned().collect();
    // The description of the binary is the doc comment of `Config`.
    let mut line = CommandLine::command()
        .about(config.get_about().cloned().unwrap_or_default())
        .long_about(config.get_long_about().cloned().unwrap_or_default())
        .mut_args(|arg| arg.global(true));
    for command in line.get_subcommands_mut() {
        let shows_all = matches!(command.get_name(), "serve" | "check");
        let plain = matches!(command.get_name(), "completions" | "man");
        let mut whole = command.clone();
        for arg in &settings {
            let shown = shows_all || !plain && is_database_setting(arg.get_id().as_str());
            whole = whole.arg(arg.clone().global(true).hide(!shown));
        }
        *command = match shows_all || plain {
            true => whole,
            false => whole.after_help("All other settings are accepted too: messaging-api --help"),
        };
    }
    line
}

fn is_database_setting(id: &str) -> bool {
    DATABASE_PREFIXES
        .iter()
        .any(|prefix| id.starts_with(prefix))
        && !SERVER_ONLY.contains(&id)
}

/// Parses the command line and the variables. Ends the process with a message if they are wrong or if the
/// command line asks for help.
pub(super) fn parse(environment: &Environment) -> (Config, CliCommand) {
    let words: Vec<OsString> = env::args_os().collect();
    read(&words, environment).unwrap_or_else(|error| error.exit())
}

/// Setting that has an environment variable.
struct Setting {
    /// Id of the clap argument.
    id: String,
    /// Text that clap's errors use for the argument, such as `--port <PORT>`.
    shown: String,
    flag: String,
    variable: String,
}

/// Parses the words of a command line. Each variable is first added as a flag, unless the words have that
/// flag: values of variables and of flags thus pass through one parser and get equal errors.
fn read(
    words: &[OsString],
    environment: &Environment,
) -> Result<(Config, CliCommand), clap::Error> {
    let line = command_line();
    // clap can print the name of an argument only after `build`.
    let mut built = line.clone();
    built.build();
    let settings: Vec<Setting> = built.get_arguments().filter_map(setting).collect();
    let line = without_variables(line);
    let flags = line.clone().try_get_matches_from(words)?;
    let is_flag = |id: &str| flags.value_source(id) == Some(ValueSource::CommandLine);
    let given: Vec<(&Setting, &Variable)> = settings
        .iter()
        .filter(|setting| !is_flag(&setting.id))
        .filter_map(|setting| Some((setting, environment.get(&setting.variable)?)))
        .collect();
    let (name, rest) = words.split_at(words.len().min(1));
    let added = given.iter().map(|(setting, variable)| {
        let mut flag = OsString::from(format!("--{}=", setting.flag));
        flag.push(&variable.value);
        flag
    });
    let all = name
        .iter()
        .cloned()
        .chain(added)
        .chain(rest.iter().cloned());
    let matches = line
        .try_get_matches_from(all)
        .map_err(|error| naming_the_variable(error, &given))?;
    let CommandLine {
        mut config,
        command,
    } = CommandLine::from_arg_matches(&matches)?;
    let names: Vec<&str> = settings
        .iter()
        .map(|setting| setting.variable.as_str())
        .collect();
    config.remarks = environment.remarks(&names);
    config.remarks.extend(config.secret_flags(is_flag));
    Ok((config, command.unwrap_or(CliCommand::Serve)))
}

fn setting(arg: &Arg) -> Option<Setting> {
    Some(Setting {
        id: arg.get_id().to_string(),
        shown: arg.to_string(),
        flag: arg.get_long()?.to_owned(),
        variable: arg.get_env()?.to_str()?.to_owned(),
    })
}

/// Removes the environment variables from the definition, because [`Environment`] has read them and clap's
/// help would show their values. The help still names each variable.
fn without_variables(line: clap::Command) -> clap::Command {
    let plain = |arg: Arg| {
        let Some(name) = arg
            .get_env()
            .map(|name| name.to_string_lossy().into_owned())
        else {
            return arg;
        };
        let short = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let long = arg
            .get_long_help()
            .map_or(short.clone(), ToString::to_string);
        arg.env(Resettable::Reset)
            .help(format!("{short} [env: {name}]"))
            .long_help(format!("{long}\n\n[env: {name}]"))
    };
    line.mut_args(plain)
        .mut_subcommands(|command| command.mut_args(plain))
}

/// Adds a tip to an error about the value of a variable: the name of the variable, the source that sets it,
/// and a likely cause of the wrong value. Errors about flags stay unchanged.
fn naming_the_variable(mut error: clap::Error, given: &[(&Setting, &Variable)]) -> clap::Error {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let Some((setting, variable)) = given.iter().find(|(setting, _)| setting.shown == *shown)
    else {
        return error;
    };
    let (name, source) = (&setting.variable, variable.source);
    let mut tip = format!("this is the value of {name} in {source}");
    if let Some(looks) = looks_like(name, &variable.value.to_string_lossy()) {
        tip += &format!(". {looks}");
    }
    tip += &format!(". The flag --{} overrides it", setting.flag);
    let tip = ContextValue::StyledStrs(vec![tip.into()]);
    error.insert(ContextKind::Suggested, tip);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Option<(Config, CliCommand)> {
        let line = ["messaging-api"].iter().chain(words);
        let matches = command_line().try_get_matches_from(line).ok()?;
        let CommandLine { config, command } = CommandLine::from_arg_matches(&matches).ok()?;
        Some((config, command.unwrap_or(CliCommand::Serve)))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command_line().debug_assert();
    }

    #[test]
    fn settings_may_precede_and_follow_the_command() {
        for words in [
            &["--port", "7"][..],
            &["serve", "--port", "7"],
            &["--port", "7", "serve"],
            &["--port", "8", "serve", "--port", "7"],
        ] {
            let parsed = parsed(words);
            let right = parsed
                .is_some_and(|(config, command)| config.port == 7 && command == CliCommand::Serve);
            assert!(right, "{words:?}");
        }
        assert!(parsed(&["export", "--db-host=h", "a.jsonl"]).is_some());
        assert!(parsed(&["sing"]).is_none() && parsed(&["create-user"]).is_none());
    }

    #[test]
    fn the_help_of_a_command_shows_the_settings_that_matter_to_it() {
        let mut line = command_line();
        line.build();
        for (name, shown, hidden) in [
            ("export", "--database-url", "--port"),
            ("serve", "--port", "\0"),
            ("man", "--help", "--database-url"),
        ] {
            let help = line.find_subcommand(name).cloned().map(|mut command| {
                let help = command.render_long_help();
                help.to_string()
            });
            let help = help.unwrap_or_default();
            assert!(help.contains(shown) && !help.contains(hidden), "{help}");
        }
    }
}
