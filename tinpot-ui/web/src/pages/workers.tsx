export function WorkersPage() {
  return <p>WorkersPage</p>;
}
