/* What a child would get from this thread beside what a plan sets (processors, limits, rights, ...), to be compared
 * with what another thread or another moment gives; returns how many bytes that is. */
int ck_surroundings(char *out, unsigned int size);
