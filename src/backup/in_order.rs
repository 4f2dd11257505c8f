//! Runs steps on threads beside the one that reads or writes a backup, and returns their results in the order of the steps. Knows no step.

use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

/// Threads that take turns. They end when this is dropped.
pub struct InOrder<Step, Done> {
    threads: Vec<Thread<Step, Done>>,
    begun: usize,
    taken: usize,
}

struct Thread<Step, Done> {
    /// `None` once the thread is to end.
    steps: Option<Sender<Step>>,
    done: Receiver<Done>,
    handle: Option<JoinHandle<()>>,
}

impl<Step: Send + 'static, Done: Send + 'static> InOrder<Step, Done> {
    /// Starts so many threads, each of which runs its own of what `make` makes.
    pub fn start<Run: FnMut(Step) -> Done + Send + 'static>(
        name: &str,
        count: usize,
        make: impl Fn() -> io::Result<Run>,
    ) -> io::Result<InOrder<Step, Done>> {
        let threads = (0..count).map(|_| {
            let ((steps, begun), (finished, done)) = (channel(), channel());
            let mut run = make()?;
            let work = move || {
                while let Ok(step) = begun.recv() {
                    if finished.send(run(step)).is_err() {
                        return;
                    }
                }
            };
            let handle = Builder::new().name(name.to_owned()).spawn(work)?;
            Ok(Thread { steps: Some(steps), done, handle: Some(handle) })
        });
        Ok(InOrder { threads: threads.collect::<io::Result<_>>()?, begun: 0, taken: 0 })
    }

    /// Steps that were begun, and of which nobody has taken the result.
    pub fn under_way(&self) -> usize {
        self.begun - self.taken
    }

    /// Begins a step. The caller sees to it that few are under way.
    pub fn begin(&mut self, step: Step) {
        let at = self.begun % self.threads.len();
        self.begun += 1;
        if let Some(steps) = &self.threads[at].steps {
            // If the thread has panicked, whoever takes the result panics.
            let _ = steps.send(step);
        }
    }

    /// Waits for the result of the first step that is under way. `None`: none is.
    pub fn take(&mut self) -> Option<Done> {
        if self.under_way() == 0 {
            return None;
        }
        let at = self.taken % self.threads.len();
        self.taken += 1;
        let thread = &mut self.threads[at];
        Some(thread.done.recv().unwrap_or_else(|_| {
            let ended = thread.handle.take().map(JoinHandle::join);
            match ended {
                Some(Err(panic)) => resume_unwind(panic),
                Some(Ok(())) | None => panic!("a thread of a backup has ended early"),
            }
        }))
    }
}

impl<Step, Done> Drop for InOrder<Step, Done> {
    fn drop(&mut self) {
        self.threads.iter_mut().for_each(|thread| thread.steps = None);
        for thread in &mut self.threads {
            // A panic was passed on by `take`, or nobody wants the result.
            let _ = thread.handle.take().map(JoinHandle::join);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_steps_from_any_number_of_threads() {
        for threads in 1..4 {
            let mut turns = InOrder::start("turns", threads, || Ok(|step: u64| step * 2)).expect("threads");
            let mut found = vec![];
            for step in 0..100 {
                turns.begin(step);
                if turns.under_way() > 5 {
                    found.extend(turns.take());
                }
            }
            while let Some(done) = turns.take() {
                found.push(done);
            }
            assert_eq!(found, (0..100).map(|step| step * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    #[should_panic(expected = "the step has failed")]
    fn a_panic_of_a_step_goes_on_where_its_result_is_taken() {
        let run = || Ok(|_: u64| -> u64 { panic!("the step has failed") });
        let mut turns = InOrder::start("turns", 1, run).expect("a thread");
        turns.begin(1);
        turns.take();
    }
}
