//! Precedence, defaults and refusals.

use super::*;

fn file(text: &str) -> Result<Settings, toml::de::Error> {
    toml::from_str(text)
}

fn refused(settings: Settings, expect: &str) {
    let error = Config::from_settings(settings)
        .expect_err("it must be refused")
        .to_string();
    assert!(error.contains(expect), "{error}");
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let from_file =
        file("listen = \"127.0.0.1:7000\"\nruntimes = 3\ndata_dir = \"/var/lib/tillside\"")
            .expect("a good file");
    let flags = Settings {
        listen: Some("127.0.0.1:8000".into()),
        ..Settings::default()
    };
    let config = Config::from_settings(flags.or(from_file)).expect("good settings");
    assert_eq!(config.listen.port(), 8000);
    assert_eq!(config.runtimes, 3);
    assert_eq!(config.http_listen.port(), 9464);
    assert_eq!(config.keys_dir, PathBuf::from("/var/lib/tillside-keys"));
}

#[test]
fn what_is_printed_reads_back_to_the_same_settings() {
    let config = Config::from_settings(Settings {
        runtimes: Some(2),
        ..Settings::default()
    })
    .expect("defaults are good");
    let printed = config.to_toml().expect("it serialises");
    let again =
        Config::from_settings(file(&printed).expect("the print is a file")).expect("good settings");
    assert_eq!(again.to_toml().expect("it serialises"), printed);
}

#[test]
fn a_retention_is_a_duration_of_a_day_at_least_or_for_ever() {
    const HOUR: i64 = 3_600_000;
    let ms = |text: &str| {
        let log_retention = Some(text.to_owned());
        let settings = Settings {
            log_retention,
            ..Settings::default()
        };
        Config::from_settings(settings).and_then(|config| config.log_retention_ms())
    };
    for (text, expect) in [
        ("24h", Some(24 * HOUR)),
        ("30d", Some(720 * HOUR)),
        ("52w", Some(8_736 * HOUR)),
        ("forever", None),
    ] {
        assert_eq!(ms(text).expect(text), expect, "{text}");
    }
    for text in [
        "",
        "d",
        "23h",
        "30",
        "-30d",
        "30 d",
        "1.5d",
        "9223372036854775807w",
        "30\u{e8}",
    ] {
        let refused = ms(text).expect_err(text).to_string();
        assert!(
            refused.starts_with("log_retention (flag --log-retention)"),
            "{refused}"
        );
    }
}

#[test]
fn a_wrong_value_is_refused_with_the_name_of_its_setting() {
    let none = Settings::default;
    refused(
        Settings {
            listen: Some("here".into()),
            ..none()
        },
        "listen (flag --listen)",
    );
    refused(
        Settings {
            listen: Some("0.0.0.0:1".into()),
            ..none()
        },
        "--allow-plaintext-bind",
    );
    refused(
        Settings {
            runtimes: Some(0),
            ..none()
        },
        "runtimes",
    );
    refused(
        Settings {
            log_format: Some("xml".into()),
            ..none()
        },
        "log_format",
    );
    refused(
        Settings {
            log_level: Some("a=b=c".into()),
            ..none()
        },
        "log_level",
    );
    refused(
        Settings {
            barcode_masks: Some(vec!["XX".into()]),
            ..none()
        },
        "barcode_masks",
    );
    refused(
        Settings {
            simulated_clock: Some("soon".into()),
            ..none()
        },
        "simulated_clock",
    );
    refused(
        Settings {
            data_dir: Some("/a".into()),
            keys_dir: Some("/a/k".into()),
            ..none()
        },
        "keys_dir",
    );
    for dir in ["/a/b", "/", "/a-keys/b"] {
        refused(
            Settings {
                data_dir: Some("/a".into()),
                backup_dir: Some(dir.into()),
                ..none()
            },
            "backup_dir",
        );
    }
    refused(
        Settings {
            backups_kept: Some(0),
            ..none()
        },
        "backups_kept",
    );
    refused(
        Settings {
            card_prefixes: Some(vec!["0x".into()]),
            ..none()
        },
        "card_prefixes",
    );
    let unknown = file("listn = \"x\"")
        .expect_err("an unknown key")
        .to_string();
    assert!(unknown.contains("listn"), "{unknown}");
}

#[test]
fn a_wide_bind_is_possible_once_allowed() {
    let settings = Settings {
        listen: Some("0.0.0.0:50051".into()),
        allow_plaintext_bind: Some(true),
        ..Settings::default()
    };
    assert!(Config::from_settings(settings).is_ok());
}
