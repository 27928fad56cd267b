//! The command line as a whole: what the binary is to do, and the settings, which every command takes
//! before and after its name.

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

/// Settings that matter to a command on the store alone, by their prefix; its help shows no others.
const OF_THE_STORE: &[&str] = &["database_", "db_", "log"];
/// Settings that no such command uses all the same.
const OF_THE_SERVER: &[&str] = &["db_connections"];

/// What the binary is to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum CliCommand {
    /// Serve until SIGTERM or SIGINT; this is what happens without a command
    Serve,

    /// Bring the tables up to date, as a server does when it starts, and end
    Migrate,

    /// Look at the settings and the store, change nothing, and say what was found; exit code 1
    /// where something is wrong
    Check,

    /// Write everything that is stored as JSON lines, from one moment, beside a running server too
    Export(Export),

    /// Read what export wrote into an empty database of either kind: all of it or nothing
    Import(Archive),

    /// Begin another epoch of the log: to be run after a restore from a backup that the server cannot
    /// tell by itself. Clients then load their chats again and drop messages that are gone
    NewEpoch,

    /// Make a user; the password is asked for, or read from standard input
    CreateUser(Account),

    /// Give a user a new password and end their sessions; the password is asked for, or read from
    /// standard input
    ResetPassword(Account),

    /// Make a user an admin of a chat, and a member where they are none
    MakeAdmin(Appointment),

    /// Write the completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },

    /// Write the man page, or that of a command
    Man {
        /// Of which command
        command: Option<String>,
    },
}

/// An export.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Where it goes.
    #[command(flatten)]
    pub archive: Archive,

    /// Seconds after which an export gives up if the reader of its pipe or terminal takes nothing: the
    /// export keeps the database from removing old rows
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u32).range(1..=86400))]
    pub stall_seconds: u32,
}

/// The file of an export or an import.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The file; "-" or none stands for standard output and input
    pub file: Option<PathBuf>,
}

/// Whom a command is about.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's name
    pub name: String,
}

/// A new admin, and their chat.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Appointment {
    /// The chat's id
    pub chat: String,

    /// The user's name or id
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

/// The command line, for completions and the man page too.
#[must_use]
pub fn command_line() -> clap::Command {
    let config = Config::command();
    let settings: Vec<clap::Arg> = config.get_arguments().cloned().collect();
    // What the binary is stands at its settings.
    let mut line = CommandLine::command()
        .about(config.get_about().cloned().unwrap_or_default())
        .long_about(config.get_long_about().cloned().unwrap_or_default())
        .mut_args(|arg| arg.global(true));
    for command in line.get_subcommands_mut() {
        let of_the_server = matches!(command.get_name(), "serve" | "check");
        let plain = matches!(command.get_name(), "completions" | "man");
        let mut whole = command.clone();
        for arg in &settings {
            let shown = of_the_server || !plain && is_of_the_store(arg.get_id().as_str());
            whole = whole.arg(arg.clone().global(true).hide(!shown));
        }
        *command = match of_the_server || plain {
            true => whole,
            false => whole.after_help("All other settings are taken too: messaging-api --help"),
        };
    }
    line
}

fn is_of_the_store(id: &str) -> bool {
    OF_THE_STORE.iter().any(|prefix| id.starts_with(prefix)) && !OF_THE_SERVER.contains(&id)
}

/// Reads the command line and the variables; ends the process with a message where they are wrong,
/// or where only help was asked for.
pub(super) fn parse(environment: &Environment) -> (Config, CliCommand) {
    let words: Vec<OsString> = env::args_os().collect();
    read(&words, environment).unwrap_or_else(|error| error.exit())
}

/// A setting that a variable may give.
struct Setting {
    /// Its name among the matches.
    id: String,
    /// How errors name it.
    shown: String,
    flag: String,
    variable: String,
}

/// Each variable becomes a flag, unless that flag is there: so both are read and refused the same way.
fn read(
    words: &[OsString],
    environment: &Environment,
) -> Result<(Config, CliCommand), clap::Error> {
    let line = command_line();
    // Only a built line can show its arguments.
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

/// The command line by itself: its help names the variables, and shows no values of theirs.
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

/// An error about a value, with the variable that has it and how such a value comes there.
fn naming_the_variable(mut error: clap::Error, given: &[(&Setting, &Variable)]) -> clap::Error {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let Some((setting, variable)) = given.iter().find(|(setting, _)| setting.shown == *shown)
    else {
        return error;
    };
    let (name, place) = (&setting.variable, variable.place);
    let mut tip = format!("this is the value of {name} in {place}");
    if let Some(looks) = looks_like(name, &variable.value.to_string_lossy()) {
        tip += &format!(". {looks}");
    }
    tip += &format!(". The flag --{} counts more", setting.flag);
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
    fn settings_stand_before_and_after_the_command() {
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
