"""Guidance: a prior and evidence, as a denoiser again.

The posterior's denoiser is E[x | x_t, y]. With clean = D(x_t), r = y - A(clean), A linearised there, and
Sigma the covariance of x given x_t, it is, as far as all that is Gaussian,

    clean + Sigma A' w        with        w = (R + A Sigma A')^-1 r.

The published methods are this line with different answers to "what is Sigma" and "how is w solved":

    dps          Sigma = sigma^2 J', w = R^-1 r                       (J = d clean / d x_t)
    sda          Sigma = sigma^2 J', w = (R + gamma sigma^2 diag A A')^-1 r
    detached     Sigma = sigma^2, w = (R + sigma^2 A A')^-1 r
    mmps         Sigma = sigma^2 J', w by conjugate gradients
    climate      Sigma = C_t, the covariance of a stationary Gaussian with the climate's spectrum, given x_t
    hybrid       climate above a noise level of a few standard deviations, mmps below: the default

By Tweedie's second formula sigma^2 J' is the true Sigma of a perfect denoiser. A learned one's is garbage
at high noise, where J is the small difference of large numbers, and conjugate gradients may then diverge.
So the hybrid asks for it only at low noise, starts from the climate's answer, takes one or two rounds, and
believes a round only where the curvature p'Kp is positive and not far below what the climate foretold;
elsewhere it keeps the climate's answer, which is always sane. At high noise the two agree, and no backward
pass is spent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.denoise import Denoiser, Gaussian, Level, Waves
from engine.evidence import Seen
from engine.laws import Errors, each
from engine.noise import Streams
from engine.observe import Gather, Linear

MODES = ("none", "replacement", "dps", "sda", "detached", "mmps", "climate", "hybrid")
SWITCH = 3.0  # standard deviations of the climate: above, J is not asked
FAR = 20.0  # standard deviations of the climate: a whole field as large as that is no field any more
Solve = Callable[[Tensor], Tensor]
TRUST = 0.2  # share of the foretold curvature below which a round is not believed


class Diverged(RuntimeError):
    """A guidance left the numbers; it says so instead of handing nonsense on."""


@dataclass(frozen=True)
class Posterior(Denoiser):
    """A prior that has seen evidence. ``climate`` is a Gaussian with the mean and spectrum of the fields."""

    prior: Denoiser
    seen: Seen
    climate: Gaussian
    mode: str = "hybrid"
    rounds: int = 2
    gamma: float = 0.1  # of SDA
    _cached: dict[float, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        noise = float(sigma)
        if self.mode == "none":
            return self.prior(x, noise)
        spread = float(self.climate.basis.values.mean().sqrt())
        exact = self.mode in ("mmps", "dps", "sda") or (self.mode == "hybrid" and noise < SWITCH * spread)
        result = self._with_jacobian(x, noise) if exact else self._without(x, noise)
        size = (result - self.climate.mean).flatten(1).square().mean(1).sqrt()
        if not (size < FAR * spread).all():  # NaN is not less either
            raise Diverged(
                f"guidance {self.mode} diverged at noise level {noise:.3g}; use hybrid or more steps"
            )
        return result

    def start(self, streams: Streams, sigma: float) -> Tensor:
        """Fields of the posterior, as far as the climate tells it, noised to level sigma.

        Noise of level sigma hides what varies less than that; the longest waves of a red field have a
        variance of hundreds, and a start that knows nothing of the evidence would leave its mark on them.
        So members of the climate are drawn and moved by what was seen of them, C A' (A C A' + R)^-1
        (y + e - A x), each with errors e of its own: conditional simulation.
        """
        mean, basis = self.climate.mean, self.climate.basis
        drawn = self.climate.draw(streams("climate", basis.noise(mean.shape)).to(mean))
        noise = streams("start", tuple(mean.shape)).to(mean)
        if self.mode != "none":
            at_mean = self.climate.mean.expand_as(drawn)
            linear, residual, errors, slopes = self._near(at_mean, math.inf)
            own = errors.draw(streams("errors", tuple(residual.shape[1:])).to(residual))
            wrong = residual + own - linear(drawn - at_mean)
            solved = self._solver(at_mean, math.inf, slopes, errors)(wrong)
            drawn = drawn + self._climate(math.inf)(linear.adjoint(solved))
        return drawn + sigma * noise

    def _without(self, x: Tensor, noise: float) -> Tensor:
        """The modes that need no gradient of the prior."""
        with torch.no_grad():
            clean = self.prior(x, noise)
            if self.mode == "replacement":
                return self.seen.replace(clean)
            linear, residual, errors, slopes = self._near(clean, noise)
            if self.mode == "detached":
                solution = conjugate_gradients(
                    lambda w: errors(w) + noise**2 * linear(linear.adjoint(w)), residual, errors.variance
                )
                return clean + noise**2 * linear.adjoint(solution)
            solve = self._solver(clean, noise, slopes, errors)
            return clean + self._climate(noise)(linear.adjoint(solve(residual)))

    def _with_jacobian(self, x: Tensor, noise: float) -> Tensor:
        """The modes that ask the prior for its Jacobian."""
        with torch.enable_grad():
            noised = x.detach().requires_grad_()
            answer = self.prior(noised, noise)
        clean = answer.detach()
        linear, residual, errors, slopes = self._near(clean, noise)

        def sigma(v: Tensor) -> Tensor:
            (back,) = torch.autograd.grad(answer, noised, v, retain_graph=True)
            return noise**2 * back

        if self.mode == "hybrid":
            solve = self._solver(clean, noise, slopes, errors)
            fallback = self._climate(noise)(linear.adjoint(solve(residual)))
            return clean + guarded(linear, sigma, errors, solve, residual, fallback, self.rounds)
        if self.mode == "dps":
            solution = residual / errors.variance  # as published: errors are independent
        elif self.mode == "sda":
            # the diagonal of A A' for the plain operator, by one adjoint of ones where weights do not overlap
            size = linear(linear.adjoint(torch.ones_like(residual)))
            solution = residual / (errors.variance + self.gamma * noise**2 * size)
        else:
            solution = conjugate_gradients(
                lambda w: errors(w) + linear(sigma(linear.adjoint(w))), residual, errors.variance, self.rounds
            )
        return clean + sigma(linear.adjoint(solution))

    def _near(self, clean: Tensor, noise: float) -> tuple[Linear, Tensor, Errors, Tensor]:
        """What the evidence says of fields about this one: A, r, R, and how steep each observation is."""
        spread = float(self._gain(noise).mean())
        return self.seen.expecting(spread).at(clean, self._matrix(noise, clean))

    def _gain(self, noise: float) -> Tensor:
        """The eigenvalues of C_t."""
        return 1 / (1 / self.climate.basis.values + noise**-2)

    def _climate(self, noise: float) -> Callable[[Tensor], Tensor]:
        """C_t = (C^-1 + sigma^-2)^-1; C itself without an x_t, at infinite noise."""
        gain = self._gain(noise)
        return lambda v: self.climate.basis.apply(v, gain.to(v))

    def _matrix(self, noise: float, like: Tensor) -> Tensor:
        """A C_t A' of the plain operator, in double precision, made once for a noise level."""
        if noise not in self._cached:
            plain, sigma, basis = self.seen.plain, self._climate(noise), self.climate.basis
            self._cached.clear()
            if isinstance(plain, Gather) and isinstance(basis, Waves):
                self._cached[noise] = basis.between(plain, self._gain(noise))
            else:
                count = plain(like.new_zeros(1, *plain.shape)).shape[1]
                eye = torch.eye(count, dtype=torch.float64, device=like.device)
                seen = [plain(sigma(plain.adjoint(part))) for part in eye.split(64)]
                self._cached[noise] = torch.cat(seen)
        return self._cached[noise]

    def _solver(self, clean: Tensor, noise: float, slopes: Tensor, errors: Errors) -> Solve:
        """(R + S K S)^-1 for the K of the climate, with the slopes S and errors R of each member.

        Steady evidence has one R and one S for all members, and their inverse is made once.
        """
        matrix = self._matrix(noise, clean)

        def factor(member: int) -> Tensor:
            slope = slopes[member].double()
            return torch.linalg.cholesky(slope[:, None] * matrix * slope + errors.matrix(member))

        if self.seen.steady:
            inverse = torch.cholesky_inverse(factor(0))
            return lambda r: each(inverse, r)
        factors = [factor(member) for member in range(len(slopes))]

        def solve(r: Tensor) -> Tensor:
            pairs = zip(r.double().unbind(), factors, strict=True)
            return torch.cat([torch.cholesky_solve(one[:, None].clone(), own).T for one, own in pairs]).to(r)

        return solve


def guarded(
    linear: Linear,
    sigma: Callable[[Tensor], Tensor],
    errors: Errors,
    solve: Solve,
    residual: Tensor,
    fallback: Tensor,
    rounds: int,
) -> Tensor:
    """Sigma A' w by preconditioned conjugate gradients, each round believed only where it is sane."""
    z = solve(residual)
    change, p, r = torch.zeros_like(fallback), z, residual
    rz = (r * z).sum(1, keepdim=True)
    believed = torch.ones_like(rz, dtype=torch.bool)
    took_first = believed
    for turn in range(rounds):
        pushed = sigma(linear.adjoint(p))
        q = errors(p) + linear(pushed)
        curvature = (p * q).sum(1, keepdim=True)
        believed = believed & (curvature > TRUST * (rz if turn == 0 else foretold(p, solve)))
        if turn == 0:
            took_first = believed
        step = torch.where(believed, rz / curvature.where(believed, torch.ones_like(curvature)), 0.0)
        change = change + step.reshape(-1, *(1,) * (fallback.ndim - 1)) * pushed
        r = r - step * q
        z = solve(r)
        fresh = (r * z).sum(1, keepdim=True)
        p = z + fresh / rz.clamp(min=1e-30) * p
        rz = fresh
    keep = took_first.reshape(-1, *(1,) * (fallback.ndim - 1))
    return torch.where(keep, change, fallback)


def foretold(p: Tensor, solve: Solve) -> Tensor:
    """A lower bound of what p'Kp would be if K were the climate's: (p'p)^2 / p'M p, by Cauchy-Schwarz."""
    return (p * p).sum(1, keepdim=True) ** 2 / (p * solve(p)).sum(1, keepdim=True).clamp(min=1e-30)


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    rhs: Tensor,
    diagonal: Tensor,
    rounds: int = 200,
    tolerance: float = 1e-14,
) -> Tensor:
    """Plain conjugate gradients; every member goes on until its own residual is small."""
    solution, r = torch.zeros_like(rhs), rhs
    z = r / diagonal
    p, rz = z, (r * z).sum(1, keepdim=True)
    small = tolerance * rz
    for _ in range(rounds):
        going = rz > small
        if not going.any():
            break
        q = apply(p)
        step = torch.where(going, rz / (p * q).sum(1, keepdim=True), 0.0)
        solution, r = solution + step * p, r - step * q
        z = r / diagonal
        fresh = (r * z).sum(1, keepdim=True)
        p, rz = torch.where(going, z + fresh / rz * p, p), torch.where(going, fresh, rz)
    return solution
