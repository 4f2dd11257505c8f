// The page /changes.

export function ChangesPage() {
  return (
    <div class="page">
      <h1>Changes</h1>
    </div>
  );
}
