package resn
