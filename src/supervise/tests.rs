use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use super::*;

fn status(supervisor: &Supervisor, name: &str) -> TaskStatus {
    supervisor.tasks().into_iter().find(|(task, _)| *task == name).expect("it was run").1
}

#[test]
fn a_thread_that_panics_is_run_again_and_counted() {
    let supervisor = Supervisor::default();
    let (sender, calls) = mpsc::channel();
    let mut left = 2;
    let thread = supervisor.thread("worker", OnPanic::Restart, move |_| {
        sender.send(()).expect("the test listens");
        if left > 0 {
            left -= 1;
            panic!("on purpose");
        }
    });
    thread.expect("started").join().expect("no panic leaves the thread");
    assert_eq!(calls.iter().count(), 3);
    assert_eq!(status(&supervisor, "worker"), TaskStatus { is_running: false, panics: 2 });
    assert_eq!(*supervisor.failed().borrow(), None);
}

#[test]
fn a_thread_that_the_server_needs_ends_the_server_once() {
    let supervisor = Supervisor::default();
    let failed = supervisor.failed();
    for name in ["commit", "watch"] {
        let thread = supervisor.thread(name, OnPanic::EndServer, |_| panic!("on purpose"));
        thread.expect("started").join().expect("no panic leaves the thread");
        assert_eq!(status(&supervisor, name), TaskStatus { is_running: false, panics: 1 });
    }
    assert_eq!(*failed.borrow(), Some("commit"));
}

#[test]
fn a_thread_panics_where_a_test_asks_for_it() {
    let supervisor = Supervisor::default();
    supervisor.inject_panic("other");
    supervisor.inject_panic("worker");
    let thread = supervisor.thread("worker", OnPanic::Restart, |heart| heart.beat());
    thread.expect("started").join().expect("no panic leaves the thread");
    assert_eq!(status(&supervisor, "worker").panics, 1);
}

#[tokio::test]
async fn a_task_that_panics_is_made_again_and_counted() {
    let supervisor = Supervisor::default();
    // So that no restart waits.
    supervisor.stop();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let task = supervisor.task("reload", OnPanic::Restart, move || {
        let run = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            assert!(run > 2, "on purpose");
        }
    });
    task.await.expect("no panic leaves the task");
    assert_eq!(runs.load(Ordering::Relaxed), 4);
    assert_eq!(status(&supervisor, "reload"), TaskStatus { is_running: false, panics: 3 });
}

#[tokio::test]
async fn a_task_panics_when_a_test_asks_for_it_and_a_stop_waits_for_no_restart() {
    let supervisor = Supervisor::default();
    let task = supervisor.task("reload", OnPanic::Restart, std::future::pending::<()>);
    supervisor.inject_panic("reload");
    while status(&supervisor, "reload").panics == 0 {
        tokio::task::yield_now().await;
    }
    supervisor.stop();
    while !status(&supervisor, "reload").is_running {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.expect_err("aborted").is_cancelled());
    assert!(!status(&supervisor, "reload").is_running);
}

#[test]
fn the_pause_before_a_restart_grows_up_to_a_limit() {
    let mut backoff = Backoff::new();
    let pauses: Vec<_> = (0..10).map(|_| backoff.next()).collect();
    assert_eq!((pauses[0], pauses[1], pauses[9]), (BACKOFF_MIN, BACKOFF_MIN * 2, BACKOFF_MAX));
}

#[tokio::test]
async fn what_always_panics_is_not_run_for_ever_while_the_server_stops() {
    let supervisor = Supervisor::default();
    supervisor.stop();
    let thread = supervisor.thread("thread", OnPanic::Restart, |_| panic!("always")).expect("started");
    tokio::task::spawn_blocking(move || thread.join()).await.expect("it runs").expect("it ends");
    supervisor.task("task", OnPanic::Restart, || async { panic!("always") }).await.expect("it ends");
    let panics = u64::from(RESTARTS_WHILE_STOPPING) + 1;
    let ended = TaskStatus { is_running: false, panics };
    assert_eq!(supervisor.tasks(), [("task", ended), ("thread", ended)]);
}
