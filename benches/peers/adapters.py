"""Seconds that skada's and POT's adapters take for two domains: one line of JSON, method -> seconds or why not.

    python benches/peers/adapters.py SOURCE.npy TARGET.npy CLASSES GAMMA METHOD...

Row i is of class i modulo CLASSES. GAMMA is of Gaussian kernels. skada 0.6.0's defaults but for what engraft's defaults say
too; the seconds are of fitting and of moving or weighing the source rows.
"""

import json
import sys
import time
import warnings

import numpy as np
import ot
import skada

warnings.filterwarnings("ignore")


def lpl1(source, labels, target):
    unit = ot.dist(source, target).mean()
    fitted = ot.da.SinkhornLpl1Transport(reg_e=0.05 * unit, reg_cl=0.1 * unit, max_iter=10)
    fitted.fit(Xs=source, ys=labels, Xt=target)
    return fitted.transform(Xs=source)


def adapter(make):
    def run(source, labels, target):
        both = np.concatenate([source, target])
        domain = np.concatenate([np.ones(len(source), int), np.full(len(target), -2)])
        masked = np.concatenate([labels, np.full(len(target), -1)])
        return make().fit_transform(both, masked, sample_domain=domain)

    return run


GAMMA = float(sys.argv[4])
METHODS = {
    "coral": adapter(skada.CORALAdapter),
    "linear-ot": adapter(skada.LinearOTMappingAdapter),
    "subspace": adapter(lambda: skada.SubspaceAlignmentAdapter(n_components=50)),
    "tca": adapter(lambda: skada.TransferComponentAnalysisAdapter(kernel="linear", n_components=50)),
    "discriminator": adapter(skada.DiscriminatorReweightAdapter),
    "kliep": adapter(lambda: skada.KLIEPReweightAdapter(gamma=GAMMA)),
    "kmm": adapter(lambda: skada.KMMReweightAdapter(gamma=GAMMA)),
    "sinkhorn": lpl1,
}


def main():
    source, target = (np.load(path).astype(np.float64) for path in sys.argv[1:3])
    labels = np.arange(len(source)) % int(sys.argv[3])
    seconds = {}
    for method in sys.argv[5:]:
        started = time.perf_counter()
        try:
            METHODS[method](source, labels, target)
            seconds[method] = time.perf_counter() - started
        except Exception as error:
            seconds[method] = f"{type(error).__name__}: {error}"
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
