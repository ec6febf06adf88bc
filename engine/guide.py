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

from engine.denoise import Denoiser, Gaussian, Level
from engine.evidence import Seen

MODES = ("none", "replacement", "dps", "sda", "detached", "mmps", "climate", "hybrid")
SWITCH = 3.0  # standard deviations of the climate: above, J is not asked
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
        if not torch.isfinite(result).all():
            raise Diverged(
                f"guidance {self.mode} diverged at noise level {noise:.3g}; use hybrid or more steps"
            )
        return result

    def _without(self, x: Tensor, noise: float) -> Tensor:
        """The modes that need no gradient of the prior."""
        with torch.no_grad():
            clean = self.prior(x, noise)
            if self.mode == "replacement":
                return self.seen.replace(clean)
            linear, residual, error = self.seen.at(clean, self._variance(clean, noise))
            if self.mode == "detached":
                solution = conjugate_gradients(
                    lambda w: error * w + noise**2 * linear(linear.adjoint(w)), residual, error
                )
                return clean + noise**2 * linear.adjoint(solution)
            return clean + self._climate(noise)(linear.adjoint(self._solver(clean, noise, error)(residual)))

    def _with_jacobian(self, x: Tensor, noise: float) -> Tensor:
        """The modes that ask the prior for its Jacobian."""
        with torch.enable_grad():
            noised = x.detach().requires_grad_()
            answer = self.prior(noised, noise)
        clean = answer.detach()
        linear, residual, error = self.seen.at(clean, self._variance(clean, noise))

        def sigma(v: Tensor) -> Tensor:
            (back,) = torch.autograd.grad(answer, noised, v, retain_graph=True)
            return noise**2 * back

        if self.mode == "hybrid":
            return clean + self._guarded(linear, residual, error, sigma, noise, clean)
        if self.mode == "dps":
            solution = residual / error
        elif self.mode == "sda":
            # the diagonal of A A' for the plain operator, by one adjoint of ones where weights do not overlap
            size = linear(linear.adjoint(torch.ones_like(residual)))
            solution = residual / (error + self.gamma * noise**2 * size)
        else:
            solution = conjugate_gradients(
                lambda w: error * w + linear(sigma(linear.adjoint(w))), residual, error, self.rounds
            )
        return clean + sigma(linear.adjoint(solution))

    def _guarded(self, linear, residual: Tensor, error: Tensor, sigma, noise: float, clean: Tensor) -> Tensor:
        """Preconditioned conjugate gradients, each round believed only where its curvature is sane."""
        solve, climate = self._solver(clean, noise, error), self._climate(noise)
        z = solve(residual)
        fallback = climate(linear.adjoint(z))
        change, p, r = torch.zeros_like(clean), z, residual
        rz = (r * z).sum(1, keepdim=True)
        believed = torch.ones_like(rz, dtype=torch.bool)
        took_first = believed
        for turn in range(self.rounds):
            pushed = sigma(linear.adjoint(p))
            q = error * p + linear(pushed)
            curvature = (p * q).sum(1, keepdim=True)
            believed = believed & (curvature > TRUST * (rz if turn == 0 else self._foretold(p, solve)))
            if turn == 0:
                took_first = believed
            step = torch.where(believed, rz / curvature.where(believed, torch.ones_like(curvature)), 0.0)
            change = change + step.reshape(-1, *(1,) * (clean.ndim - 1)) * pushed
            r = r - step * q
            z = solve(r)
            fresh = (r * z).sum(1, keepdim=True)
            p = z + fresh / rz.clamp(min=1e-30) * p
            rz = fresh
        keep = took_first.reshape(-1, *(1,) * (clean.ndim - 1))
        return torch.where(keep, change, fallback)

    def _foretold(self, p: Tensor, solve: Callable[[Tensor], Tensor]) -> Tensor:
        """A lower bound of what p'Kp would be if K were the climate's: (p'p)^2 / p'M p, by Cauchy-Schwarz."""
        return (p * p).sum(1, keepdim=True) ** 2 / (p * solve(p)).sum(1, keepdim=True).clamp(min=1e-30)

    def _gain(self, noise: float) -> Tensor:
        """The eigenvalues of C_t = (C^-1 + sigma^-2)^-1."""
        power = self.climate.basis.values
        return power * noise**2 / (power + noise**2)

    def _climate(self, noise: float) -> Callable[[Tensor], Tensor]:
        gain = self._gain(noise)
        return lambda v: self.climate.basis.apply(v, gain.to(v))

    def _matrix(self, noise: float, like: Tensor) -> Tensor:
        """A C_t A' of the plain operator, made once for a noise level."""
        if noise not in self._cached:
            plain, sigma = self.seen.plain, self._climate(noise)
            zero = like.new_zeros(1, *plain.shape)
            eye = torch.eye(plain(zero).shape[1], dtype=like.dtype, device=like.device)
            rows = [plain(sigma(plain.adjoint(part))) for part in eye.split(64)]
            self._cached[noise] = torch.cat(rows)
        return self._cached[noise]

    def _variance(self, clean: Tensor, noise: float) -> Tensor:
        """How uncertain the prediction of each observation is, by the climate."""
        slopes = self.seen.slopes(clean)
        return self._matrix(noise, clean).diagonal() * slopes**2

    def _solver(self, clean: Tensor, noise: float, error: Tensor) -> Callable[[Tensor], Tensor]:
        """(R + A C_t A')^-1 by Cholesky; where A is not linear, scaled by its slope at each observation."""
        slopes = self.seen.slopes(clean)
        if bool((error == error[:1]).all()) and bool((slopes == slopes[:1]).all()):
            error, slopes = error[:1], slopes[:1]  # one matrix for all members
        whole = slopes[:, :, None] * self._matrix(noise, clean) * slopes[:, None, :] + torch.diag_embed(error)
        factor = torch.linalg.cholesky(whole)
        return lambda r: torch.cholesky_solve(r[..., None], factor)[..., 0]


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    rhs: Tensor,
    diagonal: Tensor,
    rounds: int = 200,
    tolerance: float = 1e-14,
) -> Tensor:
    """Plain conjugate gradients, every member its own; stops where all residuals are small."""
    solution, r = torch.zeros_like(rhs), rhs
    z = r / diagonal
    p, rz = z, (r * z).sum(1, keepdim=True)
    first = rz.clamp(min=1e-30)
    for _ in range(rounds):
        q = apply(p)
        step = rz / (p * q).sum(1, keepdim=True)
        solution, r = solution + step * p, r - step * q
        z = r / diagonal
        fresh = (r * z).sum(1, keepdim=True)
        if bool((fresh / first < tolerance).all()) or not math.isfinite(float(fresh.sum())):
            break
        p, rz = z + fresh / rz * p, fresh
    return solution
