//! All layers of a plan, on one thread or several.

use std::sync::OnceLock;

use crate::cost::certify::certify_with;
use crate::error::{Error, ErrorKind, no_threads, parameter};
use crate::kernel::threads::share_out;
use crate::layer_planner::{Findings, Layer, LayerPlanner};
use crate::minimax::Minimax;
use crate::over_time::multiwindow::MultiWindow;
use crate::placement::Placement;
use crate::placement::certificate::Certificate;
use crate::problem::Problem;
use crate::problem::options::{Options, Policy};
use crate::problem::topology::Topology;
use crate::published::{Published, Rule};

/// The planner of a policy: the one list of all policies.
///
/// # Errors
/// The policy has no plan for these sizes; an option is invalid.
fn planner_of(options: Options, topology: &Topology) -> Result<Box<dyn LayerPlanner>, Error> {
    let plans_equal_gpus = matches!(options.policy, Policy::DeepSeek | Policy::Adaptive);
    if plans_equal_gpus && !topology.has_equal_gpus() {
        let policy = parameter("policy", options.policy);
        let problem = [policy, " plans equal GPUs only, all of them in use".into()];
        return Err(Error::new(ErrorKind::Topology, problem).hint([
            "try ".into(),
            parameter("policy", Policy::Minimax),
            " or ".into(),
            parameter("policy", Policy::MultiWindow),
        ]));
    }
    Ok(match options.policy {
        Policy::DeepSeek => Box::new(Published::new(Rule::DeepSeek, topology)),
        Policy::Adaptive => Box::new(Published::new(Rule::Adaptive, topology)),
        Policy::Minimax => Box::new(Minimax::new(options, topology)?),
        Policy::MultiWindow => Box::new(MultiWindow::new(topology)?),
    })
}

/// The policies that have a plan for these sizes.
#[must_use]
pub fn policies_for(topology: &Topology) -> Vec<Policy> {
    let plans = |policy: &Policy| planner_of((*policy).into(), topology).is_ok();
    Policy::ALL.into_iter().filter(plans).collect()
}

/// A placement, and what it was made for.
#[derive(Debug, Clone)]
pub struct Plan {
    placement: Placement,
    problem: Problem,
    findings: Vec<Findings>,
    threads: usize,
    certificate: OnceLock<Certificate>,
}

impl Plan {
    /// Which expert is in which slot.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The placement alone.
    #[must_use]
    pub fn into_placement(self) -> Placement {
        self.placement
    }

    /// What was planned.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// What the placement costs, and how far it is from the best. Made when it is first asked for:
    /// see [`certify`](crate::certify) for the time, of which planning by [`Policy::Minimax`] has
    /// done most. It is for the newest window, if the problem has a history.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        self.certificate.get_or_init(|| {
            let (placement, loads) = (&self.placement, &self.problem.loads);
            certify_with(placement, loads, &self.findings, self.threads)
        })
    }

    /// Whether planning has found the lower bounds already, so that the certificate takes little.
    #[must_use]
    pub fn knows_bounds(&self) -> bool {
        self.findings.iter().all(|findings| findings.bound.is_some())
    }
}

/// Plans every layer.
///
/// Time O(layers * P * (log P + c)) for P slots and c different numbers of replicas, and what the
/// effort of [`Policy::Minimax`] adds. Memory is the plan and, per thread, a few rows. Threads
/// change no answer.
///
/// # Errors
/// `threads` is 0; there are too many slots, or not enough memory; by [`Policy::Minimax`] and
/// [`Policy::MultiWindow`] also: some GPU would have to hold an expert twice.
pub fn plan(problem: &Problem, threads: usize) -> Result<Plan, Error> {
    if threads == 0 {
        return Err(no_threads());
    }
    let Problem { loads, history, topology, options } = problem;
    let layers = loads.layers();
    let share = layers.div_ceil(threads);
    let planners = (0..layers.div_ceil(share)).map(|_| planner_of(*options, topology));
    let planners: Vec<_> = planners.collect::<Result<_, _>>()?;
    let mut placement = Placement::zeroed(topology.clone(), layers)?;
    let mut findings = vec![Findings::default(); layers];
    let mut work: Vec<Layer<'_>> = (placement.layers_mut().enumerate())
        .zip(&mut findings)
        .map(|((layer, tables), findings)| {
            let history = history.as_ref().map(|history| history.layer(layer));
            Layer { loads: loads.row(layer), history, tables, findings }
        })
        .collect();
    share_out(threads, work.chunks_mut(share).zip(planners), |(layers, mut planner)| {
        planner.plan(layers);
    });
    let (problem, certificate) = (problem.clone(), OnceLock::new());
    Ok(Plan { placement, problem, findings, threads, certificate })
}
