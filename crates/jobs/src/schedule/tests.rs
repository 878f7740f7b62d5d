use super::*;

fn zone(name: &str) -> TimeZone {
    time_zone(name).unwrap()
}

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text, &TimeZone::UTC).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next times after a time, in UTC.
fn times(text: &str, after: &str, count: usize) -> Vec<String> {
    let (schedule, mut now) = (schedule(text), at(after));
    let next = || {
        now = schedule.next_after(now, None).unwrap();
        now.to_string()
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn every_form_is_read_and_shown_with_its_time_zone() {
    let berlin = zone("Europe/Berlin");
    let cases = [
        ("never", "never"),
        ("every 10m", "every 10m"),
        ("every 90m", "every 1h30m"),
        ("every  1h 30m", "every 1h30m"),
        ("every 24h", "every 24h"),
        ("every 7d", "every 168h"),
        ("@hourly", "0 * * * * Europe/Berlin"),
        ("@daily UTC", "0 0 * * * UTC"),
        ("30 3 * * *", "30 3 * * * Europe/Berlin"),
        ("30 3 * * MON-FRI America/New_York", "30 3 * * MON-FRI America/New_York"),
    ];
    for (text, shown) in cases {
        let read = Schedule::parse(text, &berlin).unwrap();
        assert_eq!(read.to_string(), shown, "{text}");
        // and what is shown means the same in any other zone
        assert_eq!(Schedule::parse(shown, &TimeZone::UTC).unwrap().to_string(), shown);
    }
}

#[test]
fn what_means_nothing_is_refused_with_what_to_write() {
    let refusal = |text: &str| Schedule::parse(text, &TimeZone::UTC).unwrap_err();
    let form = ["", "sometimes", "every", "@often", "* * *", "@daily UTC now"];
    for text in form {
        assert!(matches!(refusal(text), ScheduleError::Form { .. }), "{text:?}");
    }
    for text in ["every day", "every -5m", "every 0s", "every 100ms", "every 100y"] {
        assert!(matches!(refusal(text), ScheduleError::Interval { .. }), "{text:?}");
    }
    for text in ["61 * * * *", "* 25 * * *", "a b c d e", "0 0 32 * *"] {
        assert!(matches!(refusal(text), ScheduleError::Cron { .. }), "{text:?}");
    }
    assert!(matches!(refusal("0 0 30 2 *"), ScheduleError::NeverDue { .. }));
    assert!(matches!(refusal("0 3 * * * Berlin"), ScheduleError::Zone { .. }));
    assert!(matches!(refusal("0 3 * * * 2027"), ScheduleError::Zone { .. }));
    let text = refusal("sometimes").to_string();
    assert!(text.contains("every 10m") && text.contains("30 3 * * *"), "{text}");
}

#[test]
fn a_day_whose_clock_skips_the_time_of_a_job_has_it_at_that_moment() {
    // 2026-03-29 02:00 CET is 03:00 CEST
    let made = times("30 2 * * * Europe/Berlin", "2026-03-27T12:00:00Z", 3);
    assert_eq!(
        made,
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
}

#[test]
fn a_day_whose_clock_has_the_time_of_a_job_twice_has_it_once() {
    // 2026-10-25 03:00 CEST is 02:00 CET
    let made = times("30 2 * * * Europe/Berlin", "2026-10-24T12:00:00Z", 2);
    assert_eq!(made, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
}

#[test]
fn hourly_jobs_are_made_in_every_hour_that_passes() {
    let spring = times("0 * * * * Europe/Berlin", "2026-03-28T23:30:00Z", 3);
    assert_eq!(
        spring,
        ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]
    );
    let autumn = times("0 * * * * Europe/Berlin", "2026-10-24T23:30:00Z", 3);
    assert_eq!(
        autumn,
        ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"]
    );
}

#[test]
fn an_interval_keeps_its_rhythm_and_makes_up_for_nothing() {
    let schedule = schedule("every 10m");
    let planned = Some(at("2026-01-01T00:10:00Z"));
    let next = |now: &str| schedule.next_after(at(now), planned).unwrap().to_string();
    assert_eq!(next("2026-01-01T00:10:03Z"), "2026-01-01T00:20:00Z");
    assert_eq!(next("2026-01-01T00:20:00Z"), "2026-01-01T00:30:00Z");
    assert_eq!(next("2026-01-01T07:44:00Z"), "2026-01-01T07:50:00Z");
    let first = schedule.next_after(at("2026-01-01T00:04:00Z"), None).unwrap();
    assert_eq!(first.to_string(), "2026-01-01T00:14:00Z");
}

#[test]
fn never_is_never() {
    assert_eq!(schedule("never").next_after(at("2026-01-01T00:00:00Z"), None), None);
}

#[test]
fn weekdays_have_names_and_two_sundays_and_days_can_be_counted_from_the_end() {
    let first = |text: &str| times(text, "2027-01-01T00:00:00Z", 1).remove(0);
    // January 1st 2027 is a Friday
    assert_eq!(first("0 1 * * 0"), "2027-01-03T01:00:00Z");
    assert_eq!(first("0 1 * * 7"), "2027-01-03T01:00:00Z");
    assert_eq!(first("0 1 * * SUN#2"), "2027-01-10T01:00:00Z");
    assert_eq!(first("0 1 L * *"), "2027-01-31T01:00:00Z");
    assert_eq!(first("0 1 * * MON-FRI"), "2027-01-01T01:00:00Z");
    assert_eq!(first("@weekly"), "2027-01-03T00:00:00Z");
    assert_eq!(first("@monthly"), "2027-02-01T00:00:00Z");
    assert_eq!(first("@yearly"), "2028-01-01T00:00:00Z");
}
